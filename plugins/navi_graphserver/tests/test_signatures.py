"""What a graph's tensors are called."""

from __future__ import annotations

import numpy as np
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.loading import load_servable
from navi_graphserver.testing import custom, graph_of, placeholder

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions
from navi_core.testing.run_context import SimpleRunContext


def test_two_inputs_of_one_name_are_told_apart_by_address():
    graph = graph_of(
        [placeholder(1, "x", (None,)), placeholder(2, "x", (None,))],
        [custom(3, "subtract", [1, 2], name="difference")],
    )
    artifact = Artifact(name="m", version=1, files={"graph.fb": write_graph(graph)})
    servable = load_servable(artifact, "graph.fb", LoadOptions())
    assert list(servable.signatures[DEFAULT_SIGNATURE].inputs) == ["x", "2:0"]
    fed = {"x": np.float32([5]), "2:0": np.float32([3])}
    answer = servable.run(DEFAULT_SIGNATURE, fed, ["difference"], SimpleRunContext())
    assert answer["difference"].tolist() == [2]
