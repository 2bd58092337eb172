"""GraphServer's protocol behind Envoy, which carries it as it carries any other, and over REST on the same port."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
import pytest
from navi_graphserver import Client, GraphServerError
from navi_graphserver.service.service import PREFIXES
from navi_graphserver.testing import affine_graph, counting_graph

pytest.importorskip("navi_envoy", reason="navi-envoy is not installed")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def port(tmp_path_factory, host):
    with host(tmp_path_factory.mktemp("envoy"), "--transport=envoy", "--log-format=json") as ports:
        yield ports["envoy"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_graph_s_life_under_every_name_of_the_service(port, prefix):
    with Client(f"127.0.0.1:{port}", prefix=prefix) as client:
        client.register(affine_graph(), name="encoder")
        np.testing.assert_array_equal(client.infer(7, {"x": X})["y"], X * 2 + 1)
        url = f"http://127.0.0.1:{port}/v1/models/encoder:predict"
        with urllib.request.urlopen(url, b'{"instances": [[0, 1, 2]]}', timeout=60) as answer:
            assert json.load(answer) == {"predictions": [[1, 3, 5]]}
        with pytest.raises(GraphServerError) as caught:
            client.register(affine_graph())
        assert (caught.value.code, caught.value.details) == (
            "UNKNOWN",
            "Caught runtime_error exception: Graph with given ID already exists [7]",
        )
        client.replace(affine_graph(factor=3))
        np.testing.assert_array_equal(client.infer(7, {"x": X}, big_endian=True)["y"], X * 3 + 1)
        client.forget(7)
        with pytest.raises(GraphServerError) as caught:
            client.infer(7, {"x": X})
        assert (caught.value.code, caught.value.details) == ("NOT_FOUND", "Unknown graph [7]")


def test_malformed_messages_and_endless_loops(port):
    target = f"127.0.0.1:{port}"
    with Client(target) as client, Client(target, timeout_s=1.0) as impatient:
        with pytest.raises(GraphServerError) as caught:
            client._call("ReplaceGraph", b"\xff" * 40)
        assert caught.value.code == "INVALID_ARGUMENT"
        client.replace(counting_graph())
        with pytest.raises(GraphServerError) as caught:
            impatient.infer(3, {"x": np.float32(0), "limit": np.float32(np.inf)})
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert client.infer(3, {"x": np.float32(0), "limit": np.float32(4)}) == {"count": 4}


def test_messages_larger_than_grpc_s_own_limit(port):
    x = np.ones((400_000, 3), np.float32)
    with Client(f"127.0.0.1:{port}") as client:
        client.replace(affine_graph())
        np.testing.assert_array_equal(client.infer(7, {"x": x})["y"], x * 3)
