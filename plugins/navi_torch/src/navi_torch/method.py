"""One callable of a model: its arguments, its outputs, and how a result becomes named tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import torch

from navi_core import DType, Signature
from navi_torch.checks import SizeChecks

__all__ = ["Argument", "Call", "DescriptionError", "Method", "OutputTensor", "leaves", "values_of"]

Call = Callable[[Sequence[Any]], Any]
Dim = int | str | None
Structure = Literal["tensor", "sequence", "mapping", "tree"]

MISSING: Final = object()


class DescriptionError(ValueError):
    """The model cannot be served as it is described; one line that says what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a call, in the call's order.

    Parameters
    ----------
    name
        The input's name; of no interest where it is fixed.
    kind
        ``tensor``; ``scalar``: a number made of a tensor of one element; ``fixed``: clients do not see it.
    dtype, shape
        Of the input.
    optional
        Clients may leave it out, then it is ``value``.
    value
        What is passed where nothing comes.
    is_written
        The call writes to it.
    """

    name: str
    kind: Literal["tensor", "scalar", "fixed"]
    dtype: DType = DType.FLOAT32
    shape: tuple[Dim, ...] | None = None
    optional: bool = False
    value: Any = None
    is_written: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputTensor:
    """One output that clients may ask for.

    Parameters
    ----------
    name
        Its name.
    index
        Its position among the values of a result.
    dtype, shape
        What it holds.
    """

    name: str
    index: int
    dtype: DType
    shape: tuple[Dim, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One signature of a model, ready to be called.

    Parameters
    ----------
    call
        Takes the arguments in order; blocking.
    arguments
        In the call's order.
    outputs
        Name -> output.
    signature
        What clients see.
    structure
        What a result is, so that its values are found quickly.
    keys
        The keys of a result that is a dict.
    checks
        Sizes to look at before a call, beyond those that the signature fixes.
    """

    call: Call
    arguments: tuple[Argument, ...]
    outputs: Mapping[str, OutputTensor]
    signature: Signature
    structure: Structure
    keys: tuple[str, ...] = ()
    checks: SizeChecks | None = None
    notes: tuple[str, ...] = field(default=())


def structure_of(result: Any) -> tuple[Structure, tuple[str, ...]]:
    """Return what a result is, and the keys if it is a dict."""
    if isinstance(result, torch.Tensor):
        return "tensor", ()
    if isinstance(result, list | tuple) and all(isinstance(item, torch.Tensor) for item in result):
        return "sequence", ()
    if isinstance(result, Mapping) and all(isinstance(item, torch.Tensor) for item in result.values()):
        return "mapping", tuple(result)
    return "tree", ()


def values_of(result: Any, structure: Structure, keys: tuple[str, ...]) -> Sequence[Any]:
    """Return the values of a result in the order of its leaves.

    Raises
    ------
    KeyError
        A dict lacks a key that it had in the trial run.
    """
    if structure == "tensor":
        return (result,)
    if structure == "sequence":
        return result  # type: ignore[no-any-return]  # what structure_of saw in the trial run
    if structure == "mapping":
        return [result[key] for key in keys]
    return [value for _, value in leaves(result)]


def leaves(result: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each tensor or number in a result; None is left out.

    Raises
    ------
    DescriptionError
        Something in it is neither.
    """
    if isinstance(result, torch.Tensor | bool | int | float):
        yield _name(path), result
    elif isinstance(result, Mapping):
        for key, value in result.items():
            yield from leaves(value, (*path, str(key)))
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        for key, value in zip(result._fields, result, strict=True):
            yield from leaves(value, (*path, key))
    elif isinstance(result, list | tuple):
        for index, value in enumerate(result):
            yield from leaves(value, (*path, index))
    elif result is not None:
        msg = f"output '{_name(path)}' is a {type(result).__name__}: expected tensors and numbers, in tuples, lists, dicts or named tuples"
        raise DescriptionError(msg)


def _name(path: tuple[str | int, ...]) -> str:
    if not path:
        return "output_0"
    head = path if isinstance(path[0], str) else ("output", *path)
    return "_".join(str(part) for part in head)
