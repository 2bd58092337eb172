"""The table of operations, for people: ``python -m navi_graphserver.operations.listing > OPERATIONS.md``; needs onnx."""

from __future__ import annotations

from navi_graphserver.flat.enums import Generation
from navi_graphserver.onnx_engine.forms import FORMS
from navi_graphserver.operations.hashes import name_hash
from navi_graphserver.operations.legacy import CONTROL, LEGACY_NAMES
from navi_graphserver.operations.names import known_name, num_operations
from navi_graphserver.operations.table import OPERATIONS, Operation
from navi_graphserver.operations.torch_kernels import TORCH_OPERATIONS

__all__ = ["operations_page"]

_SERVED_CONTROL = ("enter", "exit", "loop_cond", "merge", "next_iteration", "switch")
_HEAD = """# Operations

The {count} operations that navi-graphserver computes, beside control flow: {control}.

A node of the family CUSTOM says its operation by a hash of the name, the same in both generations of the wire; the others
by a number in their family's list, which differs between the two.

- *Evaluator*: what computes the operation where a graph is not run by ONNX Runtime. NumPy computes all of them; those with
  PyTorch are computed with its kernels where it is installed (the option `kernels`).
- *ONNX*: it has a form in ONNX, as {forms} of them have, for the ordinary arguments; other arguments are refused there, and
  the graph is then computed by the evaluator as a whole.

Not served are derivatives, losses, updaters, random numbers, and recurrent layers as one operation.

This page is made by `python -m navi_graphserver.operations.listing`.

| operation | CUSTOM names, both generations | numbers, first generation | numbers, second generation | evaluator | ONNX |
|---|---|---|---|---|---|
"""


def operations_page() -> str:
    """Return the page."""
    names: dict[int, tuple[Operation, list[str]]] = {}
    for name, made in OPERATIONS.items():
        names.setdefault(id(made), (made, []))[1].append(name)
    rows = []
    for made, own in sorted(names.values(), key=lambda each: each[0].name.lower()):
        customs = ", ".join(f"`{name}`" for name in own if _is_custom(name))
        legacy = [_numbers(generation, own) for generation in Generation]
        evaluator = "NumPy, PyTorch" if made.name in TORCH_OPERATIONS else "NumPy"
        cells = (f"`{made.name}`", customs, *legacy, evaluator, "yes" if made.name in FORMS else "")
        rows.append("| " + " | ".join(cells) + " |")
    control = ", ".join(f"`{name}`" for name in CONTROL.values() if name in _SERVED_CONTROL)
    head = _HEAD.format(count=num_operations(), control=control, forms=len(FORMS))
    return head + "\n".join(rows) + "\n"


def _is_custom(name: str) -> bool:
    return known_name(name_hash(name)) is not None


def _numbers(generation: Generation, names: list[str]) -> str:
    found = [
        f"{family} {number}"
        for family, numbers in LEGACY_NAMES[generation].items()
        for number, name in numbers.items()
        if name in names
    ]
    return ", ".join(found)


if __name__ == "__main__":
    print(operations_page(), end="")  # noqa: T201 - this is what it is run for
