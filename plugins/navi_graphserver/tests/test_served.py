"""GraphServer's protocol over real gRPC: graphs come, change and go; every client sees the graph that it should."""

from __future__ import annotations

import dataclasses
import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from navi_graphserver import Address, Client, GraphServerError
from navi_graphserver.flat.enums import Generation, OutputMode
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.service.service import PREFIXES
from navi_graphserver.state import StateDirectory
from navi_graphserver.testing import affine_graph, constant, counting_graph, custom, graph_of, placeholder

from navi_core import Host, HostConfig, TransportSettings

pytestmark = pytest.mark.integration

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def config(**options):
    options.setdefault("admin", True)
    transports = {"grpc": TransportSettings(port=0), "http": TransportSettings(port=0)}
    return HostConfig(transports=transports, **options)


@pytest.fixture(scope="module")
def host():
    with Host(config()) as running:
        yield running


@pytest.fixture
def target(host):
    address = host.addresses["grpc"][0]
    return f"{address.host}:{address.port}"


@pytest.fixture
def client(target):
    with Client(target) as connected:
        yield connected
        for graph_id in range(20):
            connected.forget(graph_id)


def code_of(error):
    return error.value.code, error.value.details


def test_a_client_that_did_not_register_a_graph_is_told_of_its_generation(client, target):
    client.register(dataclasses.replace(affine_graph(), generation=Generation.GEN1))
    with Client(target) as other:
        with pytest.raises(GraphServerError, match=r"INVALID_ARGUMENT.*the graph is of generation 1"):
            other.infer(7, {"x": X})
        constants = [constant(1, "a", np.ones(3, np.float32)), constant(2, "b", np.ones(3, np.float32))]
        fed_nothing = graph_of(constants, [custom(3, "add", [1, 2], name="y")], id=7)
        client.replace(dataclasses.replace(fed_nothing, generation=Generation.GEN1))
        with pytest.raises(FlatBufferError, match=r"graphs up to 2018 are of generation 1, later ones of 2"):
            other.infer(7, {})
        client.replace(dataclasses.replace(affine_graph(), generation=Generation.GEN1))
    with Client(target, generation=1) as other:
        np.testing.assert_array_equal(other.infer(7, {"x": X})["y"], X * 2 + 1)


def test_a_graph_s_life(client):
    assert client.register(affine_graph()) == 7
    np.testing.assert_array_equal(client.infer(7, {"x": X})["y"], X * 2 + 1)
    assert client.replace(affine_graph(factor=3)) == 7
    np.testing.assert_array_equal(client.infer(7, {Address(1): X}, big_endian=True)["y"], X * 3 + 1)
    client.forget(7)
    with pytest.raises(GraphServerError) as caught:
        client.infer(7, {"x": X})
    assert code_of(caught) == ("NOT_FOUND", "Unknown graph [7]")
    client.forget(7)


def test_what_is_fed_by_name_by_address_and_what_nobody_knows(client):
    client.register(affine_graph())
    fed = {"x": X, "factor": np.float32(10), "nobody": X}
    np.testing.assert_array_equal(client.infer(7, fed)["y"], X * 10 + 1)
    np.testing.assert_array_equal(client.infer(7, {1: X.astype(np.float64)})["y"], X * 2 + 1)
    with pytest.raises(GraphServerError) as caught:
        client.infer(7, {"nobody": X})
    assert caught.value.code == "INVALID_ARGUMENT"


def test_replacing_what_is_not_there_registers_it(client):
    client.replace(affine_graph(graph_id=9))
    assert set(client.infer(9, {"x": X})) == {"y"}


def test_registering_twice_is_refused_in_the_words_of_c(client):
    client.register(affine_graph())
    with pytest.raises(GraphServerError) as caught:
        client.register(affine_graph(factor=5))
    assert code_of(caught) == (
        "UNKNOWN",
        "Caught runtime_error exception: Graph with given ID already exists [7]",
    )
    np.testing.assert_array_equal(client.infer(7, {"x": X})["y"], X * 2 + 1)


def test_a_bad_graph_changes_nothing(client):
    client.register(affine_graph())
    bad = graph_of([placeholder(1, "x", ())], [custom(2, "ctc_loss", [1], name="loss")], id=7)
    with pytest.raises(GraphServerError) as caught:
        client.replace(bad)
    assert caught.value.code == "UNKNOWN"
    assert caught.value.details.startswith("Caught runtime_error exception: ")
    assert "node 'loss': the operation 'ctc_loss' (CUSTOM) is not served" in caught.value.details
    np.testing.assert_array_equal(client.infer(7, {"x": X})["y"], X * 2 + 1)


def test_malformed_bytes_are_invalid_and_say_where(client):
    cut = write_graph(affine_graph(graph_id=11))[:-40]
    for method in ("RegisterGraph", "ReplaceGraph", "ForgetGraph", "InferenceRequest"):
        for body in (
            b"",
            b"\xff" * 40,
            *((cut,) if method.endswith("Graph") and method != "ForgetGraph" else ()),
        ):
            with pytest.raises(GraphServerError) as caught:
                client._call(method, body)
            assert caught.value.code == "INVALID_ARGUMENT", (method, caught.value)
            assert caught.value.details.split(":")[0].split(".")[0] in ("graph", "request")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_generation_of_clients_finds_the_service(target, prefix):
    with Client(target, prefix=prefix) as client:
        client.register(affine_graph())
        assert set(client.infer(7, {"x": X})) == {"y"}
        client.forget(7)


def test_loops_over_the_wire(client):
    client.register(counting_graph())
    assert client.infer(3, {"x": np.float32(0), "limit": np.float32(5)}) == {"count": 5}


def test_a_loop_that_never_ends_is_bounded_by_the_deadline(target):
    with Client(target) as client, Client(target, timeout_s=1.0) as impatient:
        client.register(counting_graph())
        with pytest.raises(GraphServerError) as caught:
            impatient.infer(3, {"x": np.float32(0), "limit": np.float32(np.inf)})
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert client.infer(3, {"x": np.float32(0), "limit": np.float32(2)}) == {"count": 2}
        client.forget(3)


@pytest.mark.parametrize("big_endian", [False, True])
def test_known_answers(client, files, big_endian):
    tried = 0
    for case in json.loads((files / "cases.json").read_text())["cases"]:
        path = files / case["file"]
        if not path.exists():
            continue
        graph = read_graph(path.read_bytes())
        dtypes = {
            str(key): np.float32 if variable.array is None else variable.array.dtype
            for variable in graph.variables
            for key in (variable.name, variable.address)
        }
        fed = {}
        for key, value in (case.get("feed") or {}).items():
            array = np.array(value["data"], value.get("dtype") or dtypes[key]).reshape(value["shape"])
            node, _, index = key.partition(":")
            fed[Address(int(node), int(index)) if node.isdigit() else key] = array
        client.replace(path)
        answers = client.infer(graph.id, fed, big_endian=big_endian)
        node, index = case["out"]
        names = {str(variable.address): variable.name for variable in graph.variables}
        names |= {f"{each.id}:0": each.name for each in graph.nodes if each.name}
        answer = answers[names.get(f"{node}:{index}") or f"{node}:{index}"]
        assert list(answer.shape) == case["shape"], case["file"]
        np.testing.assert_allclose(np.ravel(answer).astype(float), np.ravel(case["expect"]), atol=2e-4)
        tried += 1
    assert tried >= 8


def test_the_same_graph_over_rest(client, host):
    client.register(affine_graph())
    address = host.addresses["http"][0]
    url = f"http://{address.host}:{address.port}/v1/models/graph-7:predict"
    with urllib.request.urlopen(url, b'{"instances": [[0, 1, 2]]}', timeout=60) as answer:
        assert json.load(answer) == {"predictions": [[1, 3, 5]]}


def test_graphs_are_kept_over_a_restart(tmp_path):
    table = {"graphserver": {"state_dir": str(tmp_path)}}
    with Host(config(service_options=table)) as host:
        address = host.addresses["grpc"][0]
        with Client(f"{address.host}:{address.port}") as client:
            client.register(affine_graph())
            client.register(affine_graph(graph_id=8))
            client.replace(affine_graph(factor=4))
            client.forget(8)
    (kept,) = StateDirectory(tmp_path).models()
    assert kept.name == "graph-7"
    (file,) = kept.glob("*/graph.fb")
    assert file.read_bytes() == write_graph(affine_graph(factor=4))


def predict(host, model):
    address = host.addresses["http"][0]
    url = f"http://{address.host}:{address.port}/v1/models/{model}:predict"
    with urllib.request.urlopen(url, b'{"instances": [[0, 1, 2]]}', timeout=60) as answer:
        return json.load(answer)["predictions"]


def test_a_named_graph_answers_under_its_id_and_its_name(client, host):
    client.register(affine_graph(), name="encoder")
    assert predict(host, "graph-7") == predict(host, "encoder") == [[1, 3, 5]]
    client.replace(affine_graph(factor=3))
    assert predict(host, "graph-7") == predict(host, "encoder") == [[1, 4, 7]]
    client.replace(affine_graph(factor=4), name="coder")
    assert predict(host, "graph-7") == predict(host, "coder") == [[1, 5, 9]]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        predict(host, "encoder")
    client.forget(7)
    for model in ("graph-7", "coder"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            predict(host, model)


def test_a_graph_that_comes_again_has_no_name_of_its_former_life(client, host):
    client.register(affine_graph(), name="encoder")
    client.forget(7)
    client.register(affine_graph())
    with pytest.raises(urllib.error.HTTPError, match="404"):
        predict(host, "encoder")


@pytest.mark.parametrize("name", ["graph-8", "a/b", "a:b", " ", ".hidden", "x" * 256])
def test_what_cannot_be_a_name_is_refused(client, name):
    with pytest.raises(GraphServerError) as caught:
        client.register(affine_graph(), name=name)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "expected a name of letters" in caught.value.details
    with pytest.raises(GraphServerError, match="Unknown graph"):
        client.infer(7, {"x": X})


def test_a_name_that_another_graph_has_is_refused(client, host):
    client.register(affine_graph(), name="encoder")
    for ask in (client.register, client.replace):
        with pytest.raises(GraphServerError, match="another model has the name 'encoder'"):
            ask(affine_graph(graph_id=8), name="encoder")
    assert predict(host, "encoder") == [[1, 3, 5]]
    with pytest.raises(GraphServerError, match="Unknown graph"):
        client.infer(8, {"x": X})


def test_what_a_run_says_is_internal_in_the_words_of_c(client):
    """Engines that fail, and graphs whose output mode selects nothing."""
    client.register(affine_graph())
    with pytest.raises(GraphServerError) as caught:
        client.infer(7, {"x": np.ones((2, 3), np.float32), "factor": np.ones((2, 4), np.float32)})
    assert caught.value.code == "INTERNAL"
    assert caught.value.details.startswith("Caught exception during graph execution [7]: ")
    nothing = dataclasses.replace(affine_graph(graph_id=8), output_mode=OutputMode.OPTIMIZED)
    client.register(nothing)
    with pytest.raises(GraphServerError) as caught:
        client.infer(8, {"x": X})
    assert code_of(caught) == ("INTERNAL", "Got no results after graph execution [8]")


def test_messages_larger_than_grpc_s_own_limit(client):
    x = np.ones((400_000, 3), np.float32)
    big = graph_of(
        [placeholder(1, "x", (None, 3)), constant(2, "offset", np.full(1_500_000, 2, np.float32))],
        [custom(3, "reduce_mean", [2]), custom(4, "add", [1, 3], name="y")],
        id=9,
    )
    assert len(write_graph(big)) > 5_000_000
    client.register(big)
    np.testing.assert_allclose(client.infer(9, {"x": x})["y"], x + 2)


def test_each_operation_on_graphs_needs_the_operator_s_leave_and_asking_does_not():
    with Host(config(admin=False)) as host:
        address = host.addresses["grpc"][0]
        with Client(f"{address.host}:{address.port}") as client:
            for refused in (
                lambda: client.register(affine_graph()),
                lambda: client.replace(affine_graph()),
                lambda: client.forget(7),
            ):
                with pytest.raises(GraphServerError) as caught:
                    refused()
                assert caught.value.code == "PERMISSION_DENIED"
            with pytest.raises(GraphServerError) as caught:
                client.infer(7, {"x": X})
            assert caught.value.code == "NOT_FOUND"
