"""The two signatures of a graph: by names for everybody, by addresses for GraphServer's own clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from navi_core import DEFAULT_SIGNATURE, DType, LoadOptions, Signature, TensorSpec, dtype_of
from navi_graphserver.errors import GraphError
from navi_graphserver.flat.records import Address
from navi_graphserver.naming import DEAD_OUTPUT, GRAPH_SIGNATURE, graph_method, serving_name, wire_name
from navi_graphserver.plan import Feed, GraphPlan
from navi_graphserver.probing import Probe

__all__ = ["GraphSignatures", "default_inputs", "describe"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSignatures:
    """The signatures, and whose values their tensors are.

    Parameters
    ----------
    signatures
        By name.
    inputs, outputs
        Signature -> name -> address; :data:`~navi_graphserver.naming.DEAD_OUTPUT` has none.
    """

    signatures: Mapping[str, Signature]
    inputs: Mapping[str, Mapping[str, Address]]
    outputs: Mapping[str, Mapping[str, Address]]


def default_inputs(plan: GraphPlan) -> list[Feed]:
    """Return what the default signature takes: placeholders, and whatever has no value."""
    return [feed for feed in plan.feeds.values() if feed.is_placeholder or feed.array is None]


def describe(plan: GraphPlan, found: Probe, all_outputs: Probe, chosen: LoadOptions) -> GraphSignatures:
    """Describe a graph.

    Parameters
    ----------
    plan
        The graph.
    found
        What its leaves look like.
    all_outputs
        What everything looks like that its output mode returns.
    chosen
        Which tensors the default signature has.

    Raises
    ------
    GraphError
        There is none of a chosen name, or one is left out that has to be fed.
    """
    inputs: dict[str, Feed] = {}
    for feed in default_inputs(plan):
        name = serving_name(feed.address, feed.name)
        inputs[str(feed.address) if name in inputs else name] = feed
    inputs = _chosen("input", inputs, chosen.inputs)
    missing = [name for name, feed in inputs.items() if feed.array is None]
    if chosen.inputs and len(missing) < sum(feed.array is None for feed in default_inputs(plan)):
        msg = "an input is left out that has no value of its own"
        raise GraphError(msg)
    outputs = _chosen("output", _output_names(plan, plan.leaves, found), chosen.outputs)
    graph_inputs = {wire_name(feed.address, feed.name): feed for feed in plan.feeds.values()}
    graph_outputs = {
        wire_name(address, _name_of(plan, address)): address
        for address in _addresses(plan, plan.outputs, all_outputs)
    }
    default = Signature(
        inputs={name: _input_spec(name, feed) for name, feed in inputs.items()},
        outputs={name: _output_spec(name, address, plan, found) for name, address in outputs.items()},
        batchable=not found.why_not_batchable,
        not_batchable_because=found.why_not_batchable,
    )
    graph = Signature(
        inputs={name: _fed_spec(name, feed) for name, feed in graph_inputs.items()},
        outputs={
            **{
                name: _output_spec(name, address, plan, all_outputs)
                for name, address in graph_outputs.items()
            },
            DEAD_OUTPUT: TensorSpec(name=DEAD_OUTPUT, dtype=DType.BOOL, shape=(len(graph_outputs),)),
        },
        not_batchable_because="its requests may replace any constant",
        method_name=graph_method(plan.generation),
    )
    return GraphSignatures(
        signatures={DEFAULT_SIGNATURE: default, GRAPH_SIGNATURE: graph},
        inputs={
            DEFAULT_SIGNATURE: {name: feed.address for name, feed in inputs.items()},
            GRAPH_SIGNATURE: {name: feed.address for name, feed in graph_inputs.items()},
        },
        outputs={DEFAULT_SIGNATURE: outputs, GRAPH_SIGNATURE: graph_outputs},
    )


def _chosen(role: str, known: dict[str, T], wanted: Sequence[str]) -> dict[str, T]:
    """Return what is wanted, in that order; everything where nothing is said."""
    for name in wanted:
        if name not in known:
            msg = f"{role} '{name}' is not in the graph: expected one of {', '.join(known)}"
            raise GraphError(msg)
    return {name: known[name] for name in wanted} if wanted else known


def _addresses(plan: GraphPlan, wanted: Sequence[int], found: Probe) -> list[Address]:
    """Return the outputs of ids: those that a run made, and those that the graph names."""
    addresses = []
    for number in wanted:
        node = plan.nodes.get(number)
        named = len(node.output_names) if node is not None else 0
        made = [address.output + 1 for address in found.outputs if address.node == number]
        if node is None:
            addresses += [address for address in plan.feeds if address.node == number]
        else:
            addresses += [Address(number, index) for index in range(max([named, *made]))]
    return addresses


def _output_names(plan: GraphPlan, wanted: Sequence[int], found: Probe) -> dict[str, Address]:
    names: dict[str, Address] = {}
    for address in _addresses(plan, wanted, found):
        if found.outputs and address not in found.outputs:
            continue  # a list, or nothing
        name = serving_name(address, _name_of(plan, address))
        names[str(address) if name in names else name] = address
    return names


def _name_of(plan: GraphPlan, address: Address) -> str:
    node = plan.nodes.get(address.node)
    if node is None:
        feed = plan.feeds.get(address)
        return "" if feed is None else feed.name
    return node.output_names[address.output] if address.output < len(node.output_names) else ""


def _dtype(dtype: np.dtype | None) -> DType:
    """Return navi's word for a type; float32 for what nobody says."""
    return DType.FLOAT32 if dtype is None else dtype_of(np.empty(0, dtype))


def _input_spec(name: str, feed: Feed) -> TensorSpec:
    return TensorSpec(
        name=name,
        dtype=_dtype(feed.dtype),
        shape=feed.shape,
        optional=feed.array is not None,
        shape_is_advisory=feed.array
        is not None,  # a bundled sample's shape is one that fits, not the only one
    )


def _fed_spec(name: str, feed: Feed) -> TensorSpec:
    return TensorSpec(name=name, dtype=_dtype(feed.dtype), shape=None, optional=feed.array is not None)


def _output_spec(name: str, address: Address, plan: GraphPlan, found: Probe) -> TensorSpec:
    if address in found.outputs:
        dtype, shape = found.outputs[address]
        return TensorSpec(name=name, dtype=_dtype(dtype), shape=shape)
    return TensorSpec(name=name, dtype=_dtype(plan.output_dtypes.get(address)), shape=None)
