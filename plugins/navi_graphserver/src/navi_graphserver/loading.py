"""Artifact -> GraphServable."""

from __future__ import annotations

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions, ModelLoadError
from navi_graphserver.errors import GraphError
from navi_graphserver.evaluator import Evaluator
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.plan import GraphPlan, make_plan
from navi_graphserver.probing import probe
from navi_graphserver.servable import GraphServable
from navi_graphserver.signatures import default_inputs, describe

__all__ = ["load_servable"]


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
        plan = make_plan(read_graph(artifact.read(file)))
        return _servable(plan, artifact.name, options)
    except OSError as error:
        msg = f"{where}: '{file}' cannot be read: {error.strerror}"
        raise ModelLoadError(msg) from error
    except (FlatBufferError, GraphError) as error:
        msg = f"{where}: '{file}': {error}"
        raise ModelLoadError(msg) from error


def _servable(plan: GraphPlan, model: str, options: LoadOptions) -> GraphServable:
    evaluator = Evaluator(plan)
    inputs = default_inputs(plan)
    found = probe(plan, inputs, plan.leaves, evaluator)
    everything = found if plan.outputs == plan.leaves else probe(plan, inputs, plan.outputs, evaluator)
    return GraphServable(evaluator, describe(plan, found, everything, options), model=model)
