"""From arguments and outputs to signatures: what all kinds of torch models share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from navi_core import DEFAULT_SIGNATURE, LoadOptions, Signature, TensorSpec, why_not_batchable
from navi_torch.checks import SizeChecks
from navi_torch.method import Argument, Call, DescriptionError, Method, OutputTensor, Structure

__all__ = ["SHARED_STATE", "Opened", "build_method", "needs_state", "signature_names", "table_of"]

_T = TypeVar("_T")

SHARED_STATE: Final = "its callers share a state that every run changes"
"""Why requests of a model that changes itself are not joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A loaded model.

    Parameters
    ----------
    methods
        Signature -> method.
    notes
        How it was loaded.
    max_concurrent_runs
        None: any number.
    is_stateful
        It changes itself, and may hold on to what it is given.
    """

    methods: Mapping[str, Method]
    notes: tuple[str, ...] = ()
    max_concurrent_runs: int | None = None
    is_stateful: bool = False


def signature_names(names: Sequence[str], default: str) -> dict[str, str]:
    """Return method -> signature, the default one first; the others keep their names."""
    return {default: DEFAULT_SIGNATURE, **{name: name for name in names if name != default}}


def table_of(method: str, *, is_default: bool) -> str:
    """Return where ``navi.toml`` describes a method."""
    return "runtime_options" if is_default else f"runtime_options.methods.{method}"


def needs_state(what: Sequence[str]) -> str:
    """Return why a model that changes itself is not loaded unasked."""
    shown = ", ".join(what[:5]) + (", ..." if len(what) > 5 else "")
    return (
        f"it changes itself when it is called ({shown}), so that each caller's answer depends on what others sent before: "
        'keep the state outside of the model, or write in navi.toml runtime_options.state = "shared" (one run at a time, '
        "no batches, no warm-up, one state for all callers)"
    )


def build_method(
    call: Call,
    arguments: Sequence[Argument],
    outputs: Sequence[OutputTensor],
    *,
    load: LoadOptions | None,
    structure: Structure,
    keys: tuple[str, ...] = (),
    checks: SizeChecks | None = None,
    max_rows: int | None = None,
    why_not: str = "",
) -> Method:
    """Return a method with its signature.

    Parameters
    ----------
    call, arguments, outputs, structure, keys, checks
        See :class:`~navi_torch.method.Method`.
    load
        ``inputs`` and ``outputs`` restrict and order the tensors; None: it is not the default signature.
    max_rows
        The most rows that one call takes; None: no limit.
    why_not
        Why requests cannot be joined, beyond what the shapes say; empty: nothing.

    Raises
    ------
    DescriptionError
        The configuration names a tensor that is not there.
    """
    inputs = {
        argument.name: TensorSpec(
            name=argument.name, dtype=argument.dtype, shape=argument.shape, optional=argument.optional
        )
        for argument in arguments
        if argument.kind != "fixed"
    }
    given = {output.name: output for output in outputs}
    inputs = _chosen("inputs", inputs, load.inputs if load is not None else ())
    for argument in arguments:
        if argument.kind != "fixed" and not argument.optional and argument.name not in inputs:
            msg = f"inputs: '{argument.name}' cannot be left out, the model has no default for it"
            raise DescriptionError(msg)
    given = _chosen("outputs", given, load.outputs if load is not None else ())
    specs = {
        name: TensorSpec(name=name, dtype=output.dtype, shape=output.shape) for name, output in given.items()
    }
    why_not = why_not_batchable(inputs, specs) or why_not
    signature = Signature(
        inputs=inputs,
        outputs=specs,
        batchable=not why_not,
        not_batchable_because=why_not,
        max_rows=max_rows,
    )
    used = tuple(
        argument if argument.kind == "fixed" or argument.name in inputs else _left_out(argument)
        for argument in arguments
    )
    return Method(
        call=call,
        arguments=used,
        outputs=given,
        signature=signature,
        structure=structure,
        keys=keys,
        checks=checks,
    )


def _left_out(argument: Argument) -> Argument:
    return Argument(name=argument.name, kind="fixed", value=argument.value)


def _chosen(role: str, found: dict[str, _T], names: Sequence[str]) -> dict[str, _T]:
    """Return the named ones in the order of the names; all where none are named."""
    if not names:
        return found
    for name in names:
        if name not in found:
            msg = f"{role}: expected some of {{{', '.join(found)}}}, got '{name}'"
            raise DescriptionError(msg)
    return {name: found[name] for name in names}
