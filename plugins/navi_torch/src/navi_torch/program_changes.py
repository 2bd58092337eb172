"""What a call of an exported program writes to, as its archive says. Imports no torch.

Programs that were decomposed say it in their signature; others have operators that write in place (``aten.add_``),
perhaps through views, and batch normalisations in training, which write to their running mean and variance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

__all__ = ["changes_of"]


def changes_of(document: Any) -> Iterator[tuple[str, str]]:
    """Yield what a call of the program writes to: ("input", name) and ("state", name)."""
    module = document["graph_module"]
    signature = module["signature"]
    kept: dict[str, tuple[str, str]] = {}
    for spec in signature["input_specs"]:
        kind, content = next(iter(spec.items()))
        arg = content.get("arg") or {}
        if kind == "user_input":
            name = (arg.get("as_tensor") or {}).get("name")
            if name:
                kept[name] = ("input", name)
        elif kind in ("parameter", "buffer", "tensor_constant"):
            kept[arg["name"]] = ("state", str(content.get(f"{kind}_name", arg["name"])))
    for spec in signature["output_specs"]:
        kind, content = next(iter(spec.items()))
        if kind in ("buffer_mutation", "parameter_mutation"):
            yield "state", str(content[kind.replace("mutation", "name")])
        elif kind == "user_input_mutation":
            yield "input", str(content["user_input_name"])
    origin: dict[str, tuple[str, str]] = dict(kept)
    for node in module["graph"]["nodes"]:
        target = str(node["target"])
        taken = [
            item["arg"]["as_tensor"]["name"]
            for item in node["inputs"]
            if "as_tensor" in (item.get("arg") or {})
        ]
        operator = target.split(".")[3] if target.startswith("torch.ops.") and target.count(".") >= 3 else ""
        writes = (operator.endswith("_") and not operator.endswith("__")) or target.endswith((".out", "_out"))
        if "batch_norm" in operator or "instance_norm" in operator:
            yield from (origin[name] for name in _running_stats(node) if name in origin)
        if taken and (writes or _is_view(operator)) and taken[0] in origin:
            if writes:
                yield origin[taken[0]]
            for output in node["outputs"]:
                if "as_tensor" in output:
                    origin[output["as_tensor"]["name"]] = origin[taken[0]]


_VIEWS: Final = frozenset(
    {
        "view",
        "reshape",
        "slice",
        "select",
        "transpose",
        "t",
        "permute",
        "squeeze",
        "unsqueeze",
        "expand",
        "expand_as",
        "alias",
        "detach",
        "narrow",
        "diagonal",
        "as_strided",
        "flatten",
        "contiguous",
        "to",
        "view_as",
        "real",
        "imag",
        "unfold",
        "movedim",
        "swapaxes",
        "swapdims",
        "mT",
    }
)


def _is_view(operator: str) -> bool:
    return operator in _VIEWS


def _running_stats(node: Any) -> Sequence[str]:
    """Return the running mean and variance that a batch normalisation in training writes to."""
    args = {item["name"]: item["arg"] for item in node["inputs"]}
    is_training = any(
        (args.get(name) or {}).get("as_bool") for name in ("training", "train", "use_input_stats")
    )
    if not is_training:
        return ()
    stats = [(args.get(name) or {}).get("as_tensor") for name in ("running_mean", "running_var")]
    return [stat["name"] for stat in stats if stat]
