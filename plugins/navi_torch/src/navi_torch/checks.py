"""Sizes of a request against what an exported program allows: ranges, equal symbols, expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from navi_core import NamedArrays, TensorMismatchError
from navi_torch.expressions import Expression

__all__ = ["DimCheck", "SizeChecks", "dim_checks"]

Range = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class DimCheck:
    """One dynamic dimension of one input.

    Parameters
    ----------
    tensor, axis
        Where it is.
    size
        The symbol, or the expression that it must equal.
    low, high
        The symbol's limits; None: none.
    """

    tensor: str
    axis: int
    size: str | Expression
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class SizeChecks:
    """Everything that is checked of a request's sizes before a call.

    Ranks and fixed sizes are the signature's, and the host has checked them.
    """

    dims: tuple[DimCheck, ...]

    def check(self, inputs: NamedArrays, model: str, signature: str) -> None:
        """Refuse sizes that the program was not exported for.

        Raises
        ------
        TensorMismatchError
            A size out of its range, or different where one symbol stands; names input, expected and got.
        """
        values: dict[str, int] = {}
        where: dict[str, str] = {}
        for dim in self.dims:
            array = inputs.get(dim.tensor)
            if array is None:
                continue
            got, size = array.shape[dim.axis], dim.size
            if isinstance(size, Expression):
                expected = size.evaluate(values)
                if expected is not None and expected != got:
                    _refuse(dim, f"{expected} ({size.text})", got, model, signature)
                continue
            known = values.setdefault(size, got)
            place = where.setdefault(size, f"dimension {dim.axis} of '{dim.tensor}'")
            if known != got:
                _refuse(dim, f"{known} as in {place}", got, model, signature)
            if (dim.low is not None and got < dim.low) or (dim.high is not None and got > dim.high):
                _refuse(dim, _between(dim.low, dim.high), got, model, signature)


def _between(low: int | None, high: int | None) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _refuse(dim: DimCheck, expected: str, got: int, model: str, signature: str) -> None:
    raise TensorMismatchError(
        tensor=dim.tensor,
        what=f"size of dimension {dim.axis}",
        expected=expected,
        got=str(got),
        model=model,
        signature=signature,
    )


def dim_checks(
    tensors: Mapping[str, Sequence[int | str | Expression | None]], ranges: Mapping[str, Range]
) -> SizeChecks | None:
    """Return the checks of a program's inputs; None: there is nothing to check.

    Parameters
    ----------
    tensors
        Input -> its sizes.
    ranges
        Symbol -> its limits.
    """
    symbols: list[DimCheck] = []
    expressions: list[DimCheck] = []
    for name, sizes in tensors.items():
        for axis, size in enumerate(sizes):
            if isinstance(size, str):
                low, high = ranges.get(size, (None, None))
                symbols.append(DimCheck(name, axis, size, low, high))
            elif isinstance(size, Expression):
                expressions.append(DimCheck(name, axis, size))
    counted = [dim.size for dim in symbols]
    needed = {
        dim.size
        for dim in symbols
        if dim.low is not None or dim.high is not None or counted.count(dim.size) > 1
    }
    if expressions:
        needed = {dim.size for dim in symbols}
    found = (*(dim for dim in symbols if dim.size in needed), *expressions)
    return SizeChecks(found) if found else None
