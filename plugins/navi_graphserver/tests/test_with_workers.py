"""GraphServer's protocol where several processes serve: whichever takes a call, all of them know it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from navi_graphserver import Client, GraphServerError
from navi_graphserver.testing import affine_graph

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

X = np.ones((2, 3), np.float32)


@pytest.fixture
def ports(tmp_path, host):
    """Ports of gRPC and REST of a host of two workers that keeps graphs."""
    config = tmp_path / "host.toml"
    config.write_text(f'[service_options.graphserver]\nstate_dir = "{tmp_path / "state"}"\n')
    with host(tmp_path, "--workers=2", "--rest-port=0", f"--config={config}") as ports:
        yield ports["grpc"], ports["http"]


def test_graphs_and_their_names_are_every_worker_s(ports, tmp_path):
    grpc_port, rest_port = ports

    def predict():
        url = f"http://127.0.0.1:{rest_port}/v1/models/encoder:predict"
        with urllib.request.urlopen(url, b'{"instances": [[1, 1, 1]]}', timeout=60) as answer:
            return json.load(answer)["predictions"]

    clients = [Client(f"127.0.0.1:{grpc_port}") for _ in range(8)]  # the kernel spreads connections
    clients[0].register(affine_graph(factor=1), name="encoder")
    for factor, client in enumerate(clients, 2):
        client.replace(affine_graph(factor=factor))
        for each in clients:
            np.testing.assert_array_equal(each.infer(7, {"x": X})["y"], X * factor + 1)
        assert all(predict() == [[factor + 1] * 3] for _ in range(4))
    assert len(list((tmp_path / "state" / "graph-7").glob("*/graph.fb"))) == 1
    clients[-1].forget(7)
    for each in clients:
        with pytest.raises(GraphServerError, match=r"Unknown graph \[7\]"):
            each.infer(7, {"x": X})
        with pytest.raises(urllib.error.HTTPError, match="404"):
            predict()
        each.close()
    assert not list((tmp_path / "state").iterdir())
