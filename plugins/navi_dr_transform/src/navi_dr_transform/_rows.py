"""The kernel that says where the tensors of a call lie, in memory that ``rows_of`` made.

It takes Python objects, and so holds the GIL. NumPy's own ways to an array's address take ten times as long, which was
a third of a small request's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from navi_dr_transform._accelerate import INT, INTS, OBJECT, SCRATCH, kernel
from navi_dr_transform._memory import get, set_row

__all__ = ["set_rows"]


@kernel(INT(SCRATCH, OBJECT, INTS, INT), nogil=False)
def set_rows(rows: Any, arrays: Sequence[Any], row_sizes: Any, num_rows: int) -> int:
    """Make the rows those of other arrays.

    Parameters
    ----------
    rows
        What ``rows_of`` answered for as many arrays. **Written**.
    arrays
        A list of C-contiguous, writeable arrays of two dimensions, one for each tensor. Not checked.
    row_sizes
        (tensors,) int64: bytes of a row of each.
    num_rows
        Of all.

    Returns
    -------
    num_tensors
        How many there are.
    """
    for tensor in range(len(row_sizes)):
        set_row(rows, tensor, arrays, get(row_sizes, tensor), num_rows)
    return len(row_sizes)
