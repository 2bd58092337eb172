"""``navi-host predict`` and ``models`` over gRPC: what the command line gets from this package."""

from __future__ import annotations

import json
import logging
import re
import socket
import warnings

import grpc
import numpy as np
import pytest
import structlog
from navi_client._generated import oip, proton, tf_serving
from navi_client.remote import OipClient, ProtonClient, TfServingClient

from navi_core import (
    AuthSettings,
    DType,
    Endpoint,
    ErrorCode,
    Host,
    HostConfig,
    InvalidRequestError,
    ModelConfig,
    ModelRef,
    RemoteError,
    RemoteVersion,
    TransportSettings,
    UnsupportedError,
    VersionPolicySettings,
)
from navi_core.cli.main import run
from navi_core.cli.state import CliState
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of

M = ModelRef("m")
X = np.ones((1, 2), np.float32)
CLIENTS = {"tf-serving": TfServingClient, "oip": OipClient, "proton": ProtonClient}


OF_GRPC = re.compile(r"^[IWE]\d{4} [\d:.]+ +\d+ \S+\] .*\n", re.MULTILINE)
"""What gRPC's own threads write, of connections of other tests too: that one was closed, for instance."""


# --- against a server that answers as it is told -------------------------------------------------


@pytest.fixture
def connect(fake):
    """Connect a client to the fake server."""
    clients = []

    def connect(protocol, **settings):
        host, _, port = fake.address.rpartition(":")
        clients.append(CLIENTS[protocol].connect(Endpoint(host=host, port=int(port), **settings)))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.mark.integration
def test_retries_token_and_deadline_are_the_endpoints(fake, connect):
    fake.answers = [grpc.StatusCode.RESOURCE_EXHAUSTED]
    with pytest.raises(RemoteError, match=r"RESOURCE_EXHAUSTED: words .* \(after 1 retry\)") as caught:
        connect("tf-serving", max_retries=1, token="app-1", timeout_s=5.0).models(["m"])
    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert len(fake.calls) == 2
    for _, _, metadata, left_s in fake.calls:
        assert metadata["authorization"] == "Bearer app-1"
        assert 0 < left_s <= 5
    with pytest.raises(RemoteError):
        connect("tf-serving").models(["m"])
    assert len(fake.calls) == 2 + 3
    with pytest.raises(RemoteError):
        connect("tf-serving", max_retries=0).models(["m"])
    assert len(fake.calls) == 5 + 1


@pytest.mark.integration
def test_versions_of_servers_that_say_them_otherwise(fake, connect):
    client = connect("oip")
    metadata = oip.ModelMetadataResponse(name="m", versions=["2", "v1"]).SerializeToString()
    no_index = grpc.StatusCode.UNIMPLEMENTED
    fake.answers = [
        no_index,
        metadata,
        *(oip.ModelReadyResponse(ready=each).SerializeToString() for each in (True, False)),
    ]
    assert client.models(["m"]) == [
        RemoteVersion("m", 2, "READY"),
        RemoteVersion("m", "v1", "UNAVAILABLE"),
    ]
    fake.answers = [
        no_index,
        oip.ModelMetadataResponse(name="m").SerializeToString(),
        grpc.StatusCode.NOT_FOUND,
    ]
    assert client.models(["m"]) == [RemoteVersion("m", None, "UNAVAILABLE")]
    for text, version in (("v1", "v1"), ("3", 3), ("", None)):
        fake.answers = [oip.ModelInferResponse(model_version=text).SerializeToString()]
        assert client.predict(M, {"x": X}, "serving_default").version == version


@pytest.mark.integration
def test_all_models_of_a_repository(fake, connect):
    index = oip.RepositoryIndexResponse.ModelIndex
    listed = [index(name="m", version="2", state="READY"), index(name="n", reason="no version fits")]
    fake.answers = [oip.RepositoryIndexResponse(models=listed).SerializeToString()]
    assert connect("oip").models([]) == [
        RemoteVersion("m", 2, "READY"),
        RemoteVersion("n", None, "unknown", "no version fits"),
    ]


@pytest.mark.integration
def test_the_index_says_why_a_named_model_is_not_ready(fake, connect):
    index = oip.RepositoryIndexResponse.ModelIndex
    listed = [
        index(name="n", version="1", state="READY"),
        index(name="m", version="2", state="UNAVAILABLE", reason="no such file"),
    ]
    fake.answers = [oip.RepositoryIndexResponse(models=listed).SerializeToString()]
    assert connect("oip").models(["m"]) == [RemoteVersion("m", 2, "UNAVAILABLE", "no such file")]
    fake.answers = [grpc.StatusCode.INTERNAL]
    with pytest.raises(RemoteError, match="INTERNAL"):
        connect("oip").models(["m"])


@pytest.mark.integration
def test_types_that_navi_does_not_have(fake, connect):
    tensor = oip.ModelMetadataResponse.TensorMetadata(name="x", datatype="FP128", shape=[1])
    fake.answers = [oip.ModelMetadataResponse(name="m", inputs=[tensor]).SerializeToString()]
    with pytest.raises(
        RemoteError, match="tensor 'x': expected an element type that is known here, got FP128"
    ) as caught:
        connect("oip").signatures(M)
    assert caught.value.code is ErrorCode.INTERNAL
    fake.answers = [b"\xff"]
    with pytest.raises(RemoteError):
        connect("tf-serving").signatures(M)


@pytest.mark.integration
def test_a_signature_goes_out_unless_it_is_the_default_one(fake, connect):
    fake.answers = [tf_serving.PredictResponse().SerializeToString()]
    client = connect("tf-serving")
    for signature in ("serving_default", "other"):
        client.predict(M, {"x": X}, signature)
    sent = [
        tf_serving.PredictRequest.FromString(body).model_spec.signature_name for _, body, _, _ in fake.calls
    ]
    assert sent == ["", "other"]


@pytest.mark.integration
def test_proton_has_one_signature_and_says_nothing_of_models(fake, connect):
    client = connect("proton")
    signature = client.signatures(M)["serving_default"]
    assert {name: spec.dtype for name, spec in signature.inputs.items()} == {"data": DType.FLOAT32}
    with pytest.raises(UnsupportedError, match="states of models"):
        client.models(["m"])
    with pytest.raises(UnsupportedError, match="versions"):
        client.predict(ModelRef("m", 3), {"data": X}, "serving_default")
    with pytest.raises(InvalidRequestError, match="expected float32"):
        client.predict(M, {"data": X.astype(np.float64)}, "serving_default")
    fake.answers = [proton.InferenceResponse(data=[1, 2], shape=[2]).SerializeToString()]
    assert client.predict(M, {"data": X}, "serving_default").outputs["data"].tolist() == [1, 2]


# --- navi-host, against a host ------------------------------------------------------------------


@pytest.fixture
def hosted(tmp_path):
    """Run a host of two models on a free port; the second wants a token."""
    for version in (3, 7):
        write_affine(tmp_path / "m", version, scale=float(version))
    write_affine(tmp_path / "rows", 1, scale=2.0, width=2)
    (tmp_path / "rows" / "navi.toml").write_text('converter = "tf_example"\n')
    config = HostConfig(
        models=(
            ModelConfig(
                path=str(tmp_path / "m"),
                stable_ms=0,
                versions=VersionPolicySettings(all=True),
                labels={"old": 3},
            ),
            ModelConfig(path=str(tmp_path / "rows"), stable_ms=0),
        ),
        transports={"grpc": TransportSettings(port=0)},
    )
    with Host(config, registry=registry_of(runtimes=[AffineRuntime])) as host:
        yield f"127.0.0.1:{host.addresses['grpc'][0].port}"


@pytest.fixture
def navi_host(capfd):
    """Run one command in this process, with this package as the only plugin."""
    root = logging.getLogger()
    handlers, level, showwarning = list(root.handlers), root.level, warnings.showwarning
    registry = registry_of(installed=["navi-client"])

    def invoke(*words):
        capfd.readouterr()  # what the host logged
        status = run(words, CliState(lambda: registry))
        captured = capfd.readouterr()
        return status, captured.out, OF_GRPC.sub("", captured.err)

    yield invoke
    logging.captureWarnings(capture=False)
    warnings.showwarning = showwarning
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def url(address, protocol):
    return address if protocol == "tf-serving" else f"{protocol}+grpc://{address}"


@pytest.mark.integration
@pytest.mark.parametrize(("protocol", "output"), [("tf-serving", "y"), ("oip", "y"), ("proton", "data")])
def test_predict(hosted, navi_host, protocol, output):
    ask = ("predict", "m", "--json", '{"instances": [[1, 2]]}')
    for words in (("--url", url(hosted, protocol)), ("--url", hosted, "--protocol", protocol)):
        status, out, err = navi_host(*ask, *words)
        assert (status, err) == (0, "")
        answer = json.loads(out)
        assert answer["outputs"][output] == [[7.0, 14.0]]
        assert answer["version"] == (None if protocol == "proton" else 7)


@pytest.mark.integration
@pytest.mark.parametrize("protocol", ["tf-serving", "oip"])
def test_predict__version_and_encoded_rows(hosted, navi_host, protocol, tmp_path):
    status, out, err = navi_host(
        "predict", "m", "--url", url(hosted, protocol), "--version", "3", "--json", "[[1, 2]]"
    )
    assert (status, err) == (0, "")
    assert json.loads(out)["version"] == 3
    (tmp_path / "rows.json").write_text('[{"x": [0.5, 1]}, {"x": [2, 3]}]')
    ask = ("predict", "rows", "--encode", "tf_example", "--input", str(tmp_path / "rows.json"))
    status, out, err = navi_host(*ask, "--url", url(hosted, protocol))
    assert (status, err) == (0, "")
    assert json.loads(out)["outputs"]["y"] == [[1.0, 2.0], [4.0, 6.0]]


@pytest.mark.integration
def test_predict__label(hosted, navi_host):
    ask = ("predict", "m", "--label", "old", "--json", "[[1, 2]]", "--url")
    status, out, _ = navi_host(*ask, hosted)
    assert (status, json.loads(out)["version"]) == (0, 3)
    status, out, err = navi_host(*ask, f"oip+grpc://{hosted}")
    assert (status, out, err) == (
        1,
        "",
        "navi-host: the Open Inference Protocol has no labels and signatures\n",
    )


@pytest.mark.integration
def test_models(hosted, navi_host):
    status, out, _ = navi_host("models", "m", "rows", "--url", hosted, "--json")
    assert status == 0
    assert sorted((row["model"], row["version"], row["state"]) for row in json.loads(out)) == [
        ("m", 3, "AVAILABLE"),
        ("m", 7, "AVAILABLE"),
        ("rows", 1, "AVAILABLE"),
    ]
    status, out, _ = navi_host("models", "m", "--url", f"oip+grpc://{hosted}", "--json")
    assert {(row["version"], row["state"]) for row in json.loads(out)} == {(3, "READY"), (7, "READY")}
    status, out, _ = navi_host("models", "--url", f"oip+grpc://{hosted}", "--json")
    assert {(row["model"], row["version"], row["state"]) for row in json.loads(out)} == {
        ("m", 3, "READY"),
        ("m", 7, "READY"),
        ("rows", 1, "READY"),
    }


WRONG = {
    "an unknown model": (("models", "nobody"), 1, "NOT_FOUND: Could not find any versions of model nobody"),
    "all models": (("models",), 1, "over gRPC has no list of models: name some"),
    "no such model": (("predict", "n", "--json", "1"), 1, "NOT_FOUND: Servable not found"),
    "a wrong shape": (("predict", "m", "--json", "[1]"), 1, "INVALID_ARGUMENT: "),
    "too little time": (("models", "m", "--timeout-ms", "0"), 2, "invalid value for '--timeout-ms'"),
}


@pytest.mark.integration
def test_wrong_is_one_sentence(hosted, navi_host):
    for name, (words, expected_status, text) in WRONG.items():
        status, out, err = navi_host(*words, "--url", hosted)
        assert (status, out, err.count("\n")) == (expected_status, "", 1), name
        assert text in err, name
        assert "Traceback" not in err


@pytest.mark.integration
@pytest.mark.parametrize("protocol", CLIENTS)
def test_nobody_listens(navi_host, protocol):
    with socket.socket() as held:  # bound, so that no other test's server listens there meanwhile
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        status, out, err = navi_host(
            "predict", "m", "--url", url(address, protocol), "--json", "[[1]]", "--timeout-ms", "20000"
        )
    assert (status, out) == (1, "")
    assert err.startswith(f"navi-host: {address}: UNAVAILABLE: ")


@pytest.mark.integration
def test_a_token(navi_host, tmp_path):
    write_affine(tmp_path / "m", 1)
    (tmp_path / "token").write_text("app-1\n")
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "m"), stable_ms=0),),
        transports={"grpc": TransportSettings(port=0)},
        auth=AuthSettings(infer_token_file=str(tmp_path / "token")),
    )
    with Host(config, registry=registry_of(runtimes=[AffineRuntime])) as host:
        ask = ("predict", "m", "--json", "[[1, 2]]", "--url", f"127.0.0.1:{host.addresses['grpc'][0].port}")
        assert navi_host(*ask, "--token-file", str(tmp_path / "token"))[0] == 0
        status, _, err = navi_host(*ask)
    assert (status, "UNAUTHENTICATED" in err) == (1, True)


@pytest.mark.integration
def test_mutual_tls(fake_with, navi_host, certificates):
    pair = (certificates.local_key.read_bytes(), certificates.local_pem.read_bytes())
    server = fake_with(
        grpc.ssl_server_credentials([pair], certificates.ca_pem.read_bytes(), require_client_auth=True)
    )
    status = tf_serving.ModelVersionStatus(version=3, state=tf_serving.ModelVersionStatus.AVAILABLE)
    server.answers = [tf_serving.GetModelStatusResponse(model_version_status=[status]).SerializeToString()]
    ask = ("models", "m", "--url", f"grpcs://{server.address}", "--ca-file", str(certificates.ca_pem))
    ours = ("--cert-file", str(certificates.client_pem), "--key-file", str(certificates.client_key))
    status, out, err = navi_host(*ask, *ours, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)[0]["version"] == 3
    status, out, err = navi_host(*ask, "--timeout-ms", "60000")
    assert (status, out) == (1, "")
    assert "UNAVAILABLE" in err
