"""TensorArrays: lists of arrays that a loop fills. A list is a value that nobody outside of the graph sees.

Lists are not changed: an operation that writes answers a new one, so that a value means the same wherever it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import MAX_BYTES, Arguments, integers, operation

__all__ = ["TensorList"]


class TensorList:
    """A list of arrays by place; places may be empty."""

    __slots__ = ("items", "size_bytes")

    def __init__(self, items: dict[int, Array] | None = None, size_bytes: int = 0) -> None:
        self.items = items or {}
        self.size_bytes = size_bytes

    def __len__(self) -> int:
        return max(self.items, default=-1) + 1

    def put(self, arrays: dict[int, Array]) -> TensorList:
        """Return the list with more arrays in it.

        Raises
        ------
        ValueError
            It would take too much memory, or a place is negative.
        """
        size_bytes = self.size_bytes + sum(array.nbytes + 64 for array in arrays.values())
        if size_bytes > MAX_BYTES or any(place < 0 for place in arrays):
            msg = f"a list of {size_bytes} bytes, at most {MAX_BYTES}, or a negative place in it"
            raise ValueError(msg)
        return TensorList({**self.items, **arrays}, size_bytes)

    def get(self, place: int) -> Array:
        """Return one array.

        Raises
        ------
        ValueError
            There is none.
        """
        try:
            return self.items[place]
        except KeyError:
            msg = f"nothing is at place {place} of the list"
            raise ValueError(msg) from None


def _list(value: Any) -> TensorList:
    if not isinstance(value, TensorList):
        msg = "an array where a list is expected"
        raise ValueError(msg)  # noqa: TRY004 - one error for all that a graph can be wrong about
    return value


def _place(inputs: Sequence[Any], arguments: Arguments) -> int:
    """Return a place: the first array behind the list, else the first integer."""
    return integers(inputs[1])[0] if len(inputs) > 1 else arguments.i[0]


@operation(
    "create_list",
    "TensorArrayCreateV3",
    "tensorarraycreatev3",
    "TensorArrayV3",
    "tensorarrayv3",
    inputs=(0, None),
)
def _create_list(inputs: Sequence[Any], arguments: Arguments) -> Sequence[Any]:
    del inputs
    return [TensorList()] * max(arguments.num_outputs, 1)


@operation("write_list", "TensorArrayWriteV3", "tensorarraywritev3", inputs=(2, 4))
def _write_list(inputs: Sequence[Any], arguments: Arguments) -> TensorList:
    """Write at a place: list, [index], value, [flow]."""
    target = _list(inputs[0])
    if len(inputs) == 2:
        return target.put({arguments.i[0]: inputs[1]})
    return target.put({integers(inputs[1])[0]: inputs[2]})


@operation("read_list", "TensorArrayReadV3", "tensorarrayreadv3", inputs=(1, 3))
def _read_list(inputs: Sequence[Any], arguments: Arguments) -> Array:
    arrays = [inputs[0], *(each for each in inputs[1:] if not isinstance(each, TensorList))]
    return _list(inputs[0]).get(_place(arrays, arguments))


@operation("gather_list", "TensorArrayGatherV3", "tensorarraygatherv3", inputs=(1, 3))
def _gather_list(inputs: Sequence[Any], arguments: Arguments) -> Array:
    target = _list(inputs[0])
    places = integers(inputs[1]) if len(inputs) > 1 and not isinstance(inputs[1], TensorList) else arguments.i
    if places == (-1,) or not places:
        places = tuple(range(len(target)))
    return np.stack([target.get(place) for place in places])


@operation("stack_list", inputs=(1, 1))
def _stack_list(inputs: Sequence[Any], arguments: Arguments) -> Array:
    del arguments
    target = _list(inputs[0])
    return np.stack([target.get(place) for place in range(len(target))])


@operation("scatter_list", "TensorArrayScatterV3", "tensorarrayscatterv3", inputs=(3, 4))
def _scatter_list(inputs: Sequence[Any], arguments: Arguments) -> TensorList:
    """Write the rows of an array at places: list, places, array, [flow]; the places may be -1: one after the other."""
    del arguments
    rows = inputs[2]
    places = inputs[1].astype(np.int64).ravel().tolist()
    if places == [-1]:
        places = range(len(rows))
    return _list(inputs[0]).put(dict(zip(places, rows, strict=True)))


@operation("unstack_list", inputs=(2, 2))
def _unstack_list(inputs: Sequence[Any], arguments: Arguments) -> TensorList:
    del arguments
    return _list(inputs[0]).put(dict(enumerate(inputs[1])))


@operation("split_list", "TensorArraySplitV3", "tensorarraysplitv3", inputs=(3, 4))
def _split_list(inputs: Sequence[Any], arguments: Arguments) -> TensorList:
    """Write parts of an array of so many rows each: list, array, sizes."""
    del arguments
    sizes = inputs[2].astype(np.int64).ravel()
    parts = np.split(inputs[1], np.cumsum(sizes)[:-1])
    return _list(inputs[0]).put(dict(enumerate(parts)))


@operation("TensorArrayConcatV3", "tensorarrayconcatv3", inputs=(1, 2))
def _concat_list(inputs: Sequence[Any], arguments: Arguments) -> Array:
    del arguments
    target = _list(inputs[0])
    return np.concatenate([target.get(place) for place in range(len(target))])


@operation("size_list", "TensorArraySizeV3", "tensorarraysizev3", inputs=(1, 2))
def _size_list(inputs: Sequence[Any], arguments: Arguments) -> Array:
    del arguments
    return np.asarray(len(_list(inputs[0])), np.int32)


@operation("clone_list", "TensorArrayIdentityV3", "tensorarrayidentityv3", inputs=(1, 2))
def _clone_list(inputs: Sequence[Any], arguments: Arguments) -> TensorList:
    del arguments
    return _list(inputs[0])


@operation("pick_list", inputs=(1, 2))
def _pick_list(inputs: Sequence[Any], arguments: Arguments) -> Array:
    target = _list(inputs[0])
    places = integers(inputs[1]) if len(inputs) > 1 else arguments.i
    return np.concatenate([np.atleast_1d(target.get(place)) for place in places])


@operation("delete_list", inputs=(1, 2))
def _delete_list(inputs: Sequence[Any], arguments: Arguments) -> TensorList:
    del inputs, arguments
    return TensorList()
