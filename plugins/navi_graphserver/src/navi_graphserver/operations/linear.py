"""Products of matrices, and what goes with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, are_small, axes_of, bounded, operation
from navi_graphserver.operations.unary import as_float


@operation("matmul", "mMul", "mmul", "gemm", "gemv", "dot", inputs=(2, 3))
def _matmul(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Multiply; integers say what is transposed, numbers are alpha and beta."""
    a, b = inputs[0], inputs[1]
    if arguments.integer(0, 0) and a.ndim > 1:
        a = np.swapaxes(a, -1, -2)
    if arguments.integer(1, 0) and b.ndim > 1:
        b = np.swapaxes(b, -1, -2)
    if a.ndim and b.ndim and not are_small(a, b):
        rows, columns = a.shape[:-1], b.shape[-1:] if b.ndim > 1 else ()
        bounded((*np.broadcast_shapes(rows[:-1], b.shape[:-2]), *rows[-1:], *columns), a.dtype)
    result = np.matmul(a, b)
    if arguments.integer(2, 0) and result.ndim > 1:
        result = np.swapaxes(result, -1, -2)
    alpha = arguments.number(0, 1.0)
    return np.asarray(result if alpha == 1.0 else (alpha * result).astype(result.dtype))


@operation("tensormmul", "tensordot", inputs=(2, 2))
def _tensor_product(inputs: Sequence[Array], arguments: Arguments) -> Array:
    a, b = inputs
    count = arguments.i[0]
    a_axes, b_axes = arguments.i[1 : 1 + count], arguments.i[2 + count : 2 + count + arguments.i[1 + count]]
    kept = [size for axis, size in enumerate(a.shape) if axis not in axes_of(a_axes, a.ndim)]
    kept += [size for axis, size in enumerate(b.shape) if axis not in axes_of(b_axes, b.ndim)]
    bounded(kept, a.dtype)
    return np.asarray(np.tensordot(a, b, (a_axes, b_axes)))


@operation("batched_gemm", inputs=(4, None))
def _batched_gemm(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    """Multiply pair by pair: alphas, betas, then the first matrices, then the second ones."""
    count = (len(inputs) - 2) // 2
    firsts, seconds = inputs[2 : 2 + count], inputs[2 + count : 2 + 2 * count]
    alphas = np.broadcast_to(inputs[0].ravel(), count)
    swap_a, swap_b = arguments.integer(0, 0) in (1, 112), arguments.integer(1, 0) in (1, 112)
    return [
        (alpha * ((a.T if swap_a else a) @ (b.T if swap_b else b))).astype(a.dtype)
        for alpha, a, b in zip(alphas, firsts, seconds, strict=True)
    ]


@operation("biasadd", "bias_add", inputs=(2, 2))
def _bias_add(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x, bias = inputs
    return x + (bias.reshape(-1, *([1] * (x.ndim - 2))) if arguments.flag(0) else bias)


@operation("xw_plus_b", inputs=(3, 3))
def _xw_plus_b(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x, weights, bias = inputs
    x = x.T if arguments.integer(0, 0) else x
    weights = weights.T if arguments.integer(1, 0) else weights
    bounded((x.shape[0], weights.shape[-1]), x.dtype)
    return x @ weights + bias


@operation("relu_layer", inputs=(3, 3))
def _relu_layer(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.asarray(
        np.maximum(_xw_plus_b(inputs, Arguments()), arguments.number(0, 0.0)).astype(inputs[0].dtype)
    )


_LINEAR_ALGEBRA: Final[dict[str, Callable[[Array], Any]]] = {
    "matrix_inverse": np.linalg.inv,
    "matrix_determinant": np.linalg.det,
    "log_matrix_determinant": lambda x: np.linalg.slogdet(x)[1],
    "logdet": lambda x: np.linalg.slogdet(x)[1],
    "cholesky": np.linalg.cholesky,
    "trace": lambda x: np.trace(x, axis1=-2, axis2=-1),
}


def _of_matrices(function: Callable[[Array], Any]) -> Any:
    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Array:
        del arguments
        x = as_float(inputs[0])
        return np.asarray(function(x)).astype(x.dtype)

    return evaluate


for _name, _function in _LINEAR_ALGEBRA.items():
    operation(_name)(_of_matrices(_function))


@operation("solve", inputs=(2, 2))
def _solve(inputs: Sequence[Array], arguments: Arguments) -> Array:
    a, b = inputs
    return np.linalg.solve(np.swapaxes(a, -1, -2) if arguments.flag(0) else a, b)


@operation("cross", inputs=(2, 2))
def _cross(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    if inputs[0].shape != inputs[1].shape or inputs[0].shape[-1:] != (3,):
        msg = f"the cross product of shapes {list(inputs[0].shape)} and {list(inputs[1].shape)}"
        raise ValueError(msg)
    return np.cross(inputs[0], inputs[1])


@operation("diag", inputs=(1, 1))
def _diagonal_tensor(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    x = inputs[0]
    bounded((*x.shape, *x.shape), x.dtype)
    return np.diag(x.ravel()).reshape(*x.shape, *x.shape)


@operation("diag_part", "DiagPart", inputs=(1, 1))
def _diagonal_of_tensor(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    x = inputs[0]
    half = x.shape[: x.ndim // 2]
    count = int(np.prod(half))
    return np.diagonal(x.reshape(count, count)).reshape(half).copy()


@operation("matrix_diag", "MatrixDiag", inputs=(1, 1))
def _matrix_diagonal(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    x = inputs[0]
    result = np.zeros(bounded((*x.shape, x.shape[-1]), x.dtype), x.dtype)
    places = np.arange(x.shape[-1])
    result[..., places, places] = x
    return result


@operation("matrix_diag_part", inputs=(1, 1))
def _diagonal_of_matrix(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return np.diagonal(inputs[0], axis1=-2, axis2=-1).copy()


@operation("matrix_set_diag", "MatrixSetDiag", inputs=(2, 2))
def _set_diagonal(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    result = inputs[0].copy()
    places = np.arange(min(result.shape[-2:]))
    result[..., places, places] = inputs[1]
    return result


@operation("matrix_band_part", "band_part", inputs=(1, 3))
def _band(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Keep so many diagonals below and above the main one; negative: all of them."""
    x = inputs[0]
    if len(inputs) > 2:
        below, above = int(inputs[1].ravel()[0]), int(inputs[2].ravel()[0])
    else:
        below, above = arguments.integer(0, -1), arguments.integer(1, -1)
    rows, columns = np.ogrid[: x.shape[-2], : x.shape[-1]]
    kept = ((below < 0) | (rows - columns <= below)) & ((above < 0) | (columns - rows <= above))
    return np.where(kept, x, 0).astype(x.dtype)


@operation("triu", inputs=(1, 1))
def _upper_triangle(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.triu(inputs[0], arguments.integer(0, 0))
