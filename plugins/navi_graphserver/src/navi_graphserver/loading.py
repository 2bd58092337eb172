"""Artifact -> GraphServable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final
from weakref import WeakValueDictionary

from navi_core import DEFAULT_SIGNATURE, Array, Artifact, LoadOptions, ModelLoadError
from navi_graphserver.errors import GraphError
from navi_graphserver.evaluator import Evaluator
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.records import Address
from navi_graphserver.kernels import kernels_for
from navi_graphserver.onnx_engine.engine import OnnxEngine, make_engine
from navi_graphserver.options import GraphOptions
from navi_graphserver.plan import Feed, GraphPlan, make_plan
from navi_graphserver.probing import made_up_inputs, probe
from navi_graphserver.servable import GraphServable, LoadedGraph
from navi_graphserver.signatures import GraphSignatures, default_inputs, describe

__all__ = ["load_servable"]

_LOADED: Final[WeakValueDictionary[tuple[bytes, str], LoadedGraph]] = WeakValueDictionary()
"""Contents and options -> the graph, while a model has it."""


def load_servable(artifact: Artifact, file: str, options: LoadOptions) -> GraphServable:
    """Load a graph.

    Raises
    ------
    ModelLoadError
        It cannot be read, or cannot be served; says where it is wrong, or which operation is missing.
    """
    where = f"model '{artifact.name}'"
    if options.signature not in (None, DEFAULT_SIGNATURE):
        msg = f"{where}: a graph has no signature '{options.signature}' to serve as the default one"
        raise ModelLoadError(msg)
    try:
        data = artifact.read(file)
        key = (hashlib.sha256(data).digest(), repr(options))
        # A graph with a name is two models: the second one takes no time and no memory.
        loaded = _LOADED.get(key)
        if loaded is None:
            loaded = _LOADED[key] = _load(make_plan(read_graph(data)), options)
    except OSError as error:
        msg = f"{where}: '{file}' cannot be read: {error.strerror}"
        raise ModelLoadError(msg) from error
    except (FlatBufferError, GraphError) as error:
        msg = f"{where}: '{file}': {error}"
        raise ModelLoadError(msg) from error
    return GraphServable(loaded, model=artifact.name)


def _load(plan: GraphPlan, options: LoadOptions) -> LoadedGraph:
    evaluator = Evaluator(plan)
    inputs = default_inputs(plan)
    found = probe(plan, inputs, plan.leaves, evaluator)
    everything = found if plan.outputs == plan.leaves else probe(plan, inputs, plan.outputs, evaluator)
    described = describe(plan, found, everything, options)
    engine, why_not = None, "the options say so"
    own = options.options if isinstance(options.options, GraphOptions) else GraphOptions()
    wanted = own.engine
    if wanted != "numpy":
        engine, why_not = _onnx_engine(plan, inputs, described, evaluator, options.intra_op_threads)
    if wanted == "onnx" and engine is None:
        msg = f"it cannot be run by ONNX Runtime: {why_not}"
        raise GraphError(msg)
    if engine is not None:
        note = "runs on ONNX Runtime"
        kernels = kernels_for(plan, own.kernels) if own.kernels == "torch" else {}
    else:
        kernels = kernels_for(plan, own.kernels)
        note = f"is computed with NumPy{', windows with PyTorch' if kernels else ''}: {why_not}"
    return LoadedGraph(
        evaluator=evaluator.with_kernels(kernels),
        described=described,
        engine=engine,
        may_run_inline=not plan.has_control_flow and not kernels,  # PyTorch's wait for threads of their own
        notes=(f"the graph {note}",),
    )


def _onnx_engine(
    plan: GraphPlan,
    inputs: Sequence[Feed],
    described: GraphSignatures,
    evaluator: Evaluator,
    threads: int | None,
) -> tuple[OnnxEngine | None, str]:
    """Return an engine for the default signature; None, and why there is none."""
    needed = [feed for feed in inputs if feed.array is None]
    outputs = described.outputs[DEFAULT_SIGNATURE]

    def trial(size: int) -> dict[Address, Array] | None:
        try:
            return made_up_inputs(needed, size)
        except ValueError:
            return None

    return make_engine(plan, needed, outputs, evaluator, trial, threads)
