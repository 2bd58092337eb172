"""OpenVINO Model Server's own client of the TensorFlow Serving API, over gRPC and REST."""

from __future__ import annotations

import numpy as np
import pytest

ovmsclient = pytest.importorskip("ovmsclient", reason="ovmsclient is not installed")

pytestmark = pytest.mark.integration


@pytest.fixture(params=["grpc", "http"])
def client(request, server):
    if request.param == "grpc":
        return ovmsclient.make_grpc_client(server.grpc)
    return ovmsclient.make_http_client(server.http)


def test_an_exact_version_can_be_asked_for(client):
    x = np.ones((3, 2), np.float32)
    assert np.asarray(client.predict({"X": x}, "mul_1", model_version=3)).shape == (3, 2)
    with pytest.raises(ovmsclient.ModelNotFoundError):
        client.predict({"X": x}, "mul_1", model_version=4)


def test_status(client):
    assert client.get_model_status("mul_1")[3]["state"] == "AVAILABLE"


def test_metadata_over_grpc(server):
    metadata = ovmsclient.make_grpc_client(server.grpc).get_model_metadata("sigmoid")
    assert metadata["model_version"] == 3
    assert metadata["inputs"] == {"x": {"shape": [3, 4, 5], "dtype": "DT_FLOAT"}}
    assert metadata["outputs"] == {"y": {"shape": [3, 4, 5], "dtype": "DT_FLOAT"}}


def test_metadata_over_rest(server):
    # the client reads OpenVINO's spelling (modelSpec) and hands TensorFlow Serving's out as it came
    metadata = ovmsclient.make_http_client(server.http).get_model_metadata("sigmoid")
    assert metadata["model_spec"] == {"name": "sigmoid", "signature_name": "", "version": "3"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert [dim["size"] for dim in signatures["serving_default"]["inputs"]["x"]["tensor_shape"]["dim"]] == [
        "3",
        "4",
        "5",
    ]


def test_errors_are_the_clients_own(client):
    x = np.ones((3, 2), np.float32)
    with pytest.raises(ovmsclient.ModelNotFoundError):
        client.predict({"X": x}, "nothing_here")
    with pytest.raises(ovmsclient.ModelNotFoundError):
        client.get_model_status("nothing_here")
    with pytest.raises(ovmsclient.InvalidInputError):
        client.predict({"X": np.ones((4, 9), np.float32)}, "mul_1")
