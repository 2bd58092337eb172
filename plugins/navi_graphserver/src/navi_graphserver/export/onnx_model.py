"""ONNX models -> FlatGraph: perceptrons and convolutional networks, operator by operator."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from os import PathLike, fspath
from typing import Any

import numpy as np

from navi_core import Array
from navi_graphserver.export.onnx_operators import TABLE
from navi_graphserver.export.onnx_values import OnnxNode, OnnxValues
from navi_graphserver.export.writer import ExportError, GraphWriter
from navi_graphserver.flat.arrays import flat_dtype
from navi_graphserver.flat.records import FlatGraph

__all__ = ["export_onnx"]

_DOMAINS = ("", "ai.onnx")


def export_onnx(model: Any, *, graph_id: int = 0) -> FlatGraph:
    """Return an ONNX model as a graph of the second generation; inputs and outputs keep their names.

    Parameters
    ----------
    model
        An ``onnx.ModelProto``, its bytes, or the path of its file.
    graph_id
        Under which it is registered.

    Raises
    ------
    ExportError
        An operator is not known, or has a setting that GraphServer has no form for; names it.
        Or the package ``onnx`` is not installed (``pip install 'navi-graphserver[onnx]'``).
    """
    if importlib.util.find_spec("onnx") is None:
        msg = (
            "the package 'onnx' reads ONNX models, and is not installed: pip install 'navi-graphserver[onnx]'"
        )
        raise ExportError(msg)
    proto = _prepared(_loaded(model))
    opset = max((each.version for each in proto.opset_import if each.domain in _DOMAINS), default=1)
    graph = GraphWriter()
    values = OnnxValues(graph, dict(_shapes(proto)))
    from onnx import numpy_helper  # noqa: PLC0415 - an extra

    for tensor in proto.graph.initializer:
        values.arrays[tensor.name] = np.asarray(numpy_helper.to_array(tensor))
    _check_dense(proto)
    for value in proto.graph.input:
        if value.name not in values.arrays:
            dtype = _dtype(value)
            values.addresses[value.name] = graph.placeholder(value.name, values.shape(value.name), dtype)
    for each in proto.graph.node:
        node = _node(each, opset)
        known = _folded(each, values, opset)
        if known is not None:
            values.arrays |= dict(zip(node.outputs, known, strict=False))
            continue
        translate = TABLE.get(node.operator)
        if translate is None:
            msg = (
                f"{node.label}: the operator '{node.operator}' has no form here; known are {', '.join(TABLE)}"
            )
            raise ExportError(msg)
        try:
            made = translate(values, node)
        except ExportError as error:
            msg = f"{node.label}: {error}"
            raise ExportError(msg) from None
        values.addresses |= dict(zip(node.outputs, made, strict=False))
    return graph.finished(graph_id, {each.name: values.address(each.name) for each in proto.graph.output})


def _loaded(model: Any) -> Any:
    import onnx  # noqa: PLC0415 - an extra
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - comes with it

    try:
        if isinstance(model, bytes | bytearray | memoryview):
            return onnx.load_from_string(bytes(model))
        if isinstance(model, str | PathLike):
            return onnx.load(fspath(model))
    except DecodeError:
        msg = "these bytes are no ONNX model"
        raise ExportError(msg) from None
    return model


def _prepared(proto: Any) -> Any:
    """Inline the model's own functions, and infer shapes where that is possible."""
    from onnx import inliner, shape_inference  # noqa: PLC0415 - an extra

    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    try:
        return shape_inference.infer_shapes(proto, data_prop=True)
    except (
        shape_inference.InferenceError,
        ValueError,
    ):  # operators of other domains, models of 2 GiB and more
        return proto


def _check_dense(proto: Any) -> None:
    if proto.graph.sparse_initializer:
        msg = "the model has sparse tensors"
        raise ExportError(msg)


def _shapes(proto: Any) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    for value in (*proto.graph.value_info, *proto.graph.output, *proto.graph.input):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            dims = (
                each.dim_value if each.HasField("dim_value") and each.dim_value >= 0 else None
                for each in kind.shape.dim
            )
            yield value.name, tuple(dims)


def _dtype(value: Any) -> Any:
    from onnx import helper  # noqa: PLC0415 - an extra

    number = value.type.tensor_type.elem_type
    try:
        return flat_dtype(np.empty(0, helper.tensor_dtype_to_np_dtype(number)))
    except (KeyError, ValueError):
        msg = f"the input '{value.name}': GraphServer has no tensors of ONNX's type {number}"
        raise ExportError(msg) from None


def _node(proto: Any, opset: int) -> OnnxNode:
    from onnx import helper, numpy_helper  # noqa: PLC0415 - an extra

    attributes = {}
    for each in proto.attribute:
        value = helper.get_attribute_value(each)
        is_tensor = each.type == each.TENSOR
        attributes[each.name] = numpy_helper.to_array(value) if is_tensor else value
    domain = "" if proto.domain in _DOMAINS else f"{proto.domain}::"
    return OnnxNode(
        operator=domain + proto.op_type,
        name=proto.name or (proto.output[0] if proto.output else ""),
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=attributes,
        opset=opset,
    )


def _folded(proto: Any, values: OnnxValues, opset: int) -> list[Array] | None:
    """Compute a node whose inputs are all known, as ONNX defines it; None: they are not."""
    if proto.domain not in _DOMAINS or not all(name in values.arrays for name in proto.input if name):
        return None
    if not proto.input and proto.op_type != "Constant":
        return None  # numbers at random
    if any(each.HasField("g") or each.graphs for each in proto.attribute):
        return None
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - an extra

    try:
        made = ReferenceEvaluator(proto, opsets={"": opset}).run(
            None, {name: values.arrays[name] for name in proto.input if name}
        )
    except Exception:
        return None
    return [np.asarray(each) for each in made]
