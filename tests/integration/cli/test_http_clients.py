"""``models`` and ``predict`` over HTTP in the protocols beside TensorFlow Serving's, against a real host and odd answers."""

from __future__ import annotations

import json

import pytest

from navi_core.clients.oip_http import OipHttpClient
from navi_core.clients.proton_http import ProtonHttpClient
from navi_core.contracts.client import RemoteVersion
from navi_core.errors import ErrorCode, RemoteError
from navi_core.messages import ModelRef

pytestmark = pytest.mark.integration

M = ModelRef("m")


@pytest.fixture
def served(serve, toy_model):
    served = serve("-m", str(toy_model("scaled", 3)))
    served.wait_for("ready")
    return served


def test_a_host_is_asked_in_each_protocol(served, command):
    for protocol, version in (("oip", 3), ("proton", None)):
        url = f"{protocol}+{served.http}"
        for words in (["models"], ["models", "scaled"]):
            done = command(*words, "--url", url, "--json")
            assert done.returncode == 0, done.stderr
            [listed] = json.loads(done.stdout)
            assert (listed["model"], listed["version"], listed["state"]) == ("scaled", version, "READY")
        name = "x" if protocol == "oip" else "data"
        done = command("predict", "scaled", "--url", url, "--json", json.dumps({name: [1.0, 2.5]}))
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert list(answer["outputs"].values()) == [[2.0, 5.0]]
        assert answer["version"] == version


def test_models_that_are_not_there(served, command):
    for protocol in ("oip", "proton"):
        done = command("models", "nobody", "--url", f"{protocol}+{served.http}")
        assert (done.returncode, done.stdout) == (1, "")
        assert "nobody" in done.stderr
        assert done.stderr.count("\n") == 1


class Answers:
    """Stands for a connection: each path has one answer."""

    def __init__(self, **answers):
        self._answers = {path.replace("_", "/"): answer for path, answer in answers.items()}

    def send(self, _verb, path, _body):
        answer = self._answers[path]
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()

    def get(self, path):
        return self._answers[path]

    @staticmethod
    def unreadable(expected):
        return RemoteError(f"expected {expected}", code=ErrorCode.INTERNAL)


def client_of(kind, **answers):
    client = kind.__new__(kind)
    client._connection = Answers(**answers)
    return client


def test_oip__a_version_that_is_not_ready_is_unavailable():
    gone = RemoteError("gone", code=ErrorCode.NOT_FOUND)
    client = client_of(
        OipHttpClient,
        _v2_repository_index=gone,
        _v2_models_m={"versions": ["1", "v2"]},
        _v2_models_m_versions_1_ready={},
        _v2_models_m_versions_v2_ready=gone,
    )
    assert [(each.version, each.state) for each in client.models(["m"])] == [
        (1, "READY"),
        ("v2", "UNAVAILABLE"),
    ]
    broken = RemoteError("broken", code=ErrorCode.INTERNAL)
    client = client_of(OipHttpClient, _v2_repository_index=gone, _v2_models_m={}, _v2_models_m_ready=broken)
    with pytest.raises(RemoteError, match="broken"):
        client.models(["m"])
    with pytest.raises(RemoteError, match="gone"):
        client.models([])
    with pytest.raises(RemoteError, match="broken"):
        client_of(OipHttpClient, _v2_repository_index=broken).models(["m"])


def test_oip__the_index_says_why_a_named_model_is_not_ready():
    listed = [
        {"name": "m", "version": "2", "state": "UNAVAILABLE", "reason": "no such file"},
        {"name": "n", "version": "1", "state": "READY"},
    ]
    client = client_of(OipHttpClient, _v2_repository_index=listed, _v2_models_new={}, _v2_models_new_ready={})
    assert client.models(["m", "new"]) == [
        RemoteVersion("m", 2, "UNAVAILABLE", "no such file"),
        RemoteVersion("new", None, "READY"),
    ]
    assert [each.model for each in client.models([])] == ["m", "n"]


def test_oip__what_cannot_be_understood_is_said():
    tensor = {"name": "x", "datatype": "FP128", "shape": [1]}
    client = client_of(OipHttpClient, _v2_models_m={"inputs": [tensor], "outputs": []})
    with pytest.raises(RemoteError, match="tensor 'x' has the element type FP128"):
        client.signatures(M)
    for metadata in ({}, {"inputs": [{}], "outputs": []}, {"inputs": 1, "outputs": 1}):
        with pytest.raises(RemoteError, match="expected metadata"):
            client_of(OipHttpClient, _v2_models_m=metadata).signatures(M)
    for index in ({"a": 1}, [1], [{}]):
        with pytest.raises(RemoteError, match="expected a list of models"):
            client_of(OipHttpClient, _v2_repository_index=index).models([])


def test_proton__one_state_for_all_models():
    answers = {"_models": {"models": [{"name": "a"}, {"name": "b"}]}, "_ready": {"healthy": False}}
    listed = client_of(ProtonHttpClient, **answers).models([])
    assert [(each.model, each.version, each.state) for each in listed] == [
        ("a", None, "UNAVAILABLE"),
        ("b", None, "UNAVAILABLE"),
    ]
    with pytest.raises(RemoteError, match="lists no model 'c'") as caught:
        client_of(ProtonHttpClient, **answers).models(["c"])
    assert caught.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(RemoteError, match="expected a list of models"):
        client_of(ProtonHttpClient, _models={}, _ready={}).models([])
