"""A graph without control flow -> an ONNX model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import TensorProto, helper

from navi_core import Array
from navi_graphserver.flat.records import Address
from navi_graphserver.onnx_engine.forms import FORMS
from navi_graphserver.onnx_engine.writing import NotConvertibleError, Writer
from navi_graphserver.plan import Feed, GraphPlan
from navi_graphserver.program import Loop, make_program

__all__ = ["convert"]

_OPSET = 18
_IR_VERSION = 9


def convert(
    plan: GraphPlan,
    inputs: Sequence[Feed],
    outputs: Mapping[str, Address],
    samples: Mapping[Address, Array],
    constants: Mapping[Address, Array],
) -> bytes:
    """Return the graph as an ONNX model.

    Parameters
    ----------
    plan
        The graph.
    inputs
        What is fed; an input is called by its address.
    outputs
        Name -> what is computed.
    samples
        Every value of a run on made-up inputs.
    constants
        Values that depend on nothing that is fed.

    Returns
    -------
    model
        A serialized ``ModelProto``.

    Raises
    ------
    NotConvertibleError
        A node has no form in ONNX; says which and why.
    """
    writer = Writer(samples, constants)
    declared = []
    for feed in inputs:
        writer.names[feed.address] = str(feed.address)
        dtype = feed.dtype or np.dtype(np.float32)
        if dtype.kind not in "fiub":
            msg = f"input '{feed.name}' is of {dtype}"
            raise NotConvertibleError(msg)
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        declared.append(helper.make_tensor_value_info(str(feed.address), kind, feed.shape))
    known = {address.node for address in constants if address.node in plan.nodes}
    for item in make_program(plan, [address.node for address in outputs.values()], known):
        if isinstance(item, Loop) or item.operation is None:
            msg = "the graph has control flow"
            raise NotConvertibleError(msg)
        form = FORMS.get(item.operation.name)
        if form is None:
            msg = f"node '{item.label}': '{item.operation.name}' has no form in ONNX"
            raise NotConvertibleError(msg)
        for index, name in enumerate(form(writer, item)):
            writer.names[Address(item.id, index)] = name
    answers = []
    for name, address in outputs.items():
        writer.nodes.append(helper.make_node("Identity", [writer.name(address)], [f"output {name}"]))
        kind = helper.np_dtype_to_tensor_dtype(writer.sample(address).dtype)
        answers.append(helper.make_tensor_value_info(f"output {name}", kind, None))
        if kind == TensorProto.UNDEFINED:
            msg = f"output '{name}' has a type that ONNX does not have"
            raise NotConvertibleError(msg)
    graph = helper.make_graph(writer.nodes, "samediff", declared, answers, writer.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    serialized: bytes = model.SerializeToString()
    return serialized
