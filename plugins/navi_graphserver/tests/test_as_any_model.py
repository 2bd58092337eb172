"""Graphs are models like any other: over every protocol of the host, in versions side by side, in metrics and listings."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request

import numpy as np
import pytest
from navi_graphserver import Client
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.testing import affine_graph

from navi_core import (
    BatchingSettings,
    Host,
    HostConfig,
    ModelConfig,
    TransportSettings,
    VersionPolicySettings,
)

navi_client = pytest.importorskip("navi_client", reason="navi-client is not installed")

pytestmark = pytest.mark.integration

X = np.array([[0, 1, 2]], np.float32)
Y1, Y2 = X * 2 + 1, X * 3 + 1


def store(folder, name="graph.fb", **graph):
    folder.mkdir(parents=True)
    (folder / name).write_bytes(write_graph(affine_graph(**graph)))


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A host of two graphs: two versions with labels, and one in the directory of the graph 5."""
    folder = tmp_path_factory.mktemp("models")
    store(folder / "encoder" / "1", factor=2)
    store(folder / "encoder" / "2", "encoder.fb", factor=3)
    store(folder / "graph-5" / "1", factor=2)
    models = (
        ModelConfig(
            path=str(folder / "encoder"),
            versions=VersionPolicySettings(all=True),
            labels={"stable": 1, "canary": 2},
            stable_ms=0.0,
        ),
        ModelConfig(
            path=str(folder / "graph-5"),
            stable_ms=0.0,
            batching=BatchingSettings(batch_timeout_ms=2000.0, max_batch_rows=12),
        ),
    )
    transports = {"grpc": TransportSettings(port=0), "http": TransportSettings(port=0)}
    with Host(HostConfig(models=models, transports=transports)) as running:
        yield running


@pytest.fixture(scope="module")
def target(host):
    address = host.addresses["grpc"][0]
    return f"{address.host}:{address.port}"


@pytest.fixture(scope="module")
def url(host):
    address = host.addresses["http"][0]
    return f"http://{address.host}:{address.port}"


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=60) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("protocol", ["tf_serving", "oip"])
def test_versions_side_by_side_over_grpc(target, protocol):
    with navi_client.Client(target, protocol=protocol) as client:
        np.testing.assert_array_equal(client.predict("encoder", {"x": X})["y"], Y2)
        for version, y in ((1, Y1), (2, Y2)):
            answer = client.predict("encoder", {"x": X}, version=version)
            np.testing.assert_array_equal(answer["y"], y)
            assert int(answer.version) == version


def test_labels_say_which_version_over_grpc(target):
    with navi_client.Client(target) as client:
        for label, y in (("stable", Y1), ("canary", Y2)):
            np.testing.assert_array_equal(client.predict("encoder", {"x": X}, label=label)["y"], y)
        with pytest.raises(navi_client.ClientError, match="version label: beta"):
            client.predict("encoder", {"x": X}, label="beta")


@pytest.mark.parametrize(
    ("which", "y"), [("", Y2), ("/versions/1", Y1), ("/labels/stable", Y1), ("/labels/canary", Y2)]
)
def test_versions_and_labels_over_rest(url, which, y):
    answer = json.loads(ask(f"{url}/v1/models/encoder{which}:predict", {"instances": X.tolist()}))
    assert answer == {"predictions": y.tolist()}


def test_the_open_inference_protocol_over_rest(url):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": X.ravel().tolist()}
    for version, y in ((1, Y1), (2, Y2)):
        answer = json.loads(ask(f"{url}/v2/models/encoder/versions/{version}/infer", {"inputs": [tensor]}))
        assert answer["outputs"][0]["data"] == y.ravel().tolist()
    metadata = json.loads(ask(f"{url}/v2/models/encoder"))
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]


def test_a_directory_named_as_a_graph_answers_graphserver_s_clients(target, url):
    with Client(target) as client:
        np.testing.assert_array_equal(client.infer(5, {"x": X})["y"], Y1)
    assert 'service="graphserver"' in "".join(
        line for line in ask(f"{url}/metrics").splitlines() if 'model="graph-5"' in line
    )


def test_rows_of_several_requests_run_together(target, url):
    """Twelve requests at once take fewer runs, sooner or later; every one gets the answers to its own rows."""

    def num_runs():
        with urllib.request.urlopen(f"{url}/v2/models/graph-5/stats", timeout=60) as answer:
            (stats,) = json.load(answer)["model_stats"]
        return stats["inference_count"], stats["execution_count"]

    failures = []
    start = threading.Barrier(12)

    def one(number):
        x = np.full((1, 3), number, np.float32)
        with navi_client.Client(target) as client:
            client.metadata("graph-5")
            start.wait()
            if client.predict("graph-5", {"x": x})["y"].tolist() != (x * 2 + 1).tolist():
                failures.append(number)

    for _ in range(50):  # on a busy machine, twelve threads may well ask one after the other
        rows_before, runs_before = num_runs()
        threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        rows, runs = num_runs()
        assert not failures
        assert rows - rows_before == 12
        if runs - runs_before < 12:
            break
    else:
        pytest.fail("each request had a run of its own, fifty times")


def test_models_lists_graphs_and_inspect_shows_a_file(url, tmp_path):
    command = [sys.executable, "-m", "navi_core"]
    done = subprocess.run(
        [*command, "models", "--url", url], capture_output=True, text=True, timeout=240, check=True
    )
    assert "encoder" in done.stdout
    assert "graph-5" in done.stdout
    file = tmp_path / "any.fb"
    file.write_bytes(write_graph(affine_graph()))
    done = subprocess.run(
        [*command, "inspect", str(file)], capture_output=True, text=True, timeout=240, check=True
    )
    for word in ("samediff", "flatgraph", "serving_default", "float32", "the graph "):
        assert word in done.stdout, word
    file.write_bytes(b"nothing of the kind")
    done = subprocess.run(
        [*command, "inspect", str(file)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode
    assert "Traceback" not in done.stdout + done.stderr
