"""Many connections register, replace, forget and ask graphs at once: no answer is wrong, none is lost.

``NAVI_TEST_CONNECTIONS`` and ``NAVI_TEST_REPLACEMENTS`` make it larger.
"""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from navi_graphserver import Client, GraphServerError
from navi_graphserver.testing import affine_graph

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

NUM_CONNECTIONS = int(os.environ.get("NAVI_TEST_CONNECTIONS", "8"))
NUM_REPLACEMENTS = int(os.environ.get("NAVI_TEST_REPLACEMENTS", "60"))
WATCHED, CONTENDED, FIRST_OWN = 1, 2, 100
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def factor_of(answers):
    """Return the factor of the one graph that made an answer."""
    (factor,) = {
        round((value - 1) / x) for value, x in zip(answers["y"].ravel(), X.ravel(), strict=True) if x
    }
    return factor


class Connection(threading.Thread):
    """One client: it watches a graph that others replace, replaces one that others replace, and has one of its own."""

    def __init__(self, number, target, newest, stop):
        super().__init__()
        self.number, self.target, self.newest, self.stop = number, target, newest, stop
        self.failure, self.counts = None, dict.fromkeys(("watched", "contended", "lives"), 0)

    def run(self):
        try:
            with Client(self.target, timeout_s=60) as client:
                while not self.stop.is_set():
                    for _ in range(40):
                        self.watch(client)
                    self.contend(client)
                    self.live(client)
        except Exception as error:
            self.failure = f"connection {self.number}: {error!r}"

    def watch(self, client):
        """Versions only go up: an answer is of a graph that was there while the request was."""
        before = self.newest[0]
        factor = factor_of(client.infer(WATCHED, {"x": X}))
        assert before <= factor <= self.newest[0] + 1, (before, factor, self.newest[0])
        self.counts["watched"] += 1

    def contend(self, client):
        """Everybody's replacement of one graph succeeds; what answers is one of them."""
        client.replace(affine_graph(factor=1 + self.number, graph_id=CONTENDED))
        assert 1 <= factor_of(client.infer(CONTENDED, {"x": X})) <= NUM_CONNECTIONS
        self.counts["contended"] += 1

    def live(self, client):
        """A graph that nobody else touches is what its owner says it is, all its life."""
        graph_id = FIRST_OWN + self.number
        assert client.register(affine_graph(factor=1, graph_id=graph_id)) == graph_id
        for factor in (1, 2, 3):
            if factor > 1:
                client.replace(affine_graph(factor=factor, graph_id=graph_id))
            assert factor_of(client.infer(graph_id, {"x": X})) == factor
        with pytest.raises(GraphServerError, match=f"already exists \\[{graph_id}\\]"):
            client.register(affine_graph(factor=9, graph_id=graph_id))
        client.forget(graph_id)
        with pytest.raises(GraphServerError, match=f"Unknown graph \\[{graph_id}\\]"):
            client.infer(graph_id, {"x": X})
        self.counts["lives"] += 1


def test_no_answer_is_wrong_or_lost_while_graphs_come_change_and_go(graph_server, capsys):
    stop, newest = threading.Event(), [1]
    with graph_server() as target, Client(target, timeout_s=60) as admin:
        admin.register(affine_graph(factor=1, graph_id=WATCHED))
        connections = [Connection(number, target, newest, stop) for number in range(NUM_CONNECTIONS)]
        for each in connections:
            each.start()
        try:
            for factor in range(2, NUM_REPLACEMENTS + 2):
                admin.replace(affine_graph(factor=factor, graph_id=WATCHED))
                newest[0] = factor
                assert all(each.failure is None for each in connections)
        finally:
            stop.set()
            for each in connections:
                each.join(120)
        assert factor_of(admin.infer(WATCHED, {"x": X})) == NUM_REPLACEMENTS + 1
    assert [each.failure for each in connections if each.failure] == []
    totals = {kind: sum(each.counts[kind] for each in connections) for kind in connections[0].counts}
    assert min(totals.values()) > 0
    with capsys.disabled():  # the figures are what a large run is for
        print(  # noqa: T201 - see above
            f"{NUM_CONNECTIONS} connections, {NUM_REPLACEMENTS} replacements beside {totals}", end=" "
        )
