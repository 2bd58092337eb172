"""Which of a model's inputs takes which tensor of a layout, and how wide it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navi_core import ModelLoadError, Signature, TensorSpec, format_shape
from navi_dr_transform.layout import Layout
from navi_dr_transform.wording import expected_one_of, listed

__all__ = ["BoundInput", "bind_inputs", "layout_widths"]


@dataclass(frozen=True, slots=True)
class BoundInput:
    """One of the model's inputs and the tensor that it takes.

    Parameters
    ----------
    name
        The model's name for it.
    tensor
        Index of the layout's tensor.
    width
        Its columns.
    """

    name: str
    tensor: int
    width: int


def layout_widths(layout: Layout, widths: Mapping[str, int], where: str) -> dict[int, int]:
    """Return every tensor's width by index: the options' where they name it, else the layout's; 0 where nobody says it.

    Parameters
    ----------
    layout
        The layout.
    widths
        Tensor name -> columns, from the options.
    where
        The model, for error texts.

    Raises
    ------
    ModelLoadError
        The options name a tensor that the layout does not have.
    """
    known = [tensor.name for tensor in layout.tensors]
    for name in widths:
        if name not in known:
            raise ModelLoadError(f"{where}: option 'widths': {expected_one_of(known, name)}")
    return {index: widths.get(tensor.name, tensor.width) for index, tensor in enumerate(layout.tensors)}


def bind_inputs(
    layout: Layout, signature: Signature, widths: Mapping[str, int], where: str
) -> tuple[BoundInput, ...]:
    """Bind a model's inputs by name, or by position where no name is the layout's.

    Inputs that may be left out (weights of older ONNX models are such inputs) are bound only where their
    names match. A width is the model's where the model fixes it, else the options', else the layout's.

    Parameters
    ----------
    layout
        The layout.
    signature
        The model's own signature.
    widths
        Tensor name -> columns, from the options.
    where
        The model, for error texts.

    Raises
    ------
    ModelLoadError
        Some but not all names match, none matches and the number of inputs is none that the layout has an
        order for, or an input's type or shape does not fit.
    """
    default_widths = layout_widths(layout, widths, where)
    required = [spec for spec in signature.inputs.values() if not spec.optional and spec.default is None]
    by_name = [
        (spec, index) for spec in signature.inputs.values() if (index := layout.index(spec.name)) is not None
    ]
    if by_name:
        if any(layout.index(spec.name) is None for spec in required):
            raise _mismatch(layout, required, where)
        pairs = by_name
    else:
        indices = layout.positions.get(len(required))
        if indices is None:
            raise _mismatch(layout, required, where)
        pairs = list(zip(required, indices, strict=True))
    return tuple(_bind(layout, spec, index, widths, default_widths[index], where) for spec, index in pairs)


def _bind(
    layout: Layout, spec: TensorSpec, index: int, widths: Mapping[str, int], default_width: int, where: str
) -> BoundInput:
    tensor = layout.tensors[index]
    if spec.dtype is not tensor.dtype:
        msg = f"{where}: input '{spec.name}': expected {tensor.dtype}, which '{tensor.name}' is, got {spec.dtype}"
        raise ModelLoadError(msg)
    if spec.shape is not None and len(spec.shape) != 2:
        msg = f"{where}: input '{spec.name}': expected shape (rows, columns), got {format_shape(spec.shape)}"
        raise ModelLoadError(msg)
    width = None if spec.shape is None else spec.shape[1]
    if not isinstance(width, int):
        if not default_width:
            msg = (
                f"{where}: input '{spec.name}': expected a width in the model or the layout, got none; "
                f"option 'widths' can say it of '{tensor.name}'"
            )
            raise ModelLoadError(msg)
        return BoundInput(spec.name, index, default_width)
    if widths.get(tensor.name, width) != width or width < 1:
        msg = f"{where}: input '{spec.name}': expected {default_width} columns, got {width} in the model"
        raise ModelLoadError(msg)
    return BoundInput(spec.name, index, width)


def _mismatch(layout: Layout, required: list[TensorSpec], where: str) -> ModelLoadError:
    model = ", ".join(f"{spec.name} {spec.dtype} {format_shape(spec.shape)}" for spec in required)
    names = [tensor.name for tensor in layout.tensors]
    counts = " or ".join(str(count) for count in layout.positions)
    by_position = f", or none of them and {counts} inputs" if counts else ""
    return ModelLoadError(
        f"{where}: inputs: expected names of layout '{layout.name}' only ({listed(names)})"
        f"{by_position}, got {len(required)}: {model}"
    )
