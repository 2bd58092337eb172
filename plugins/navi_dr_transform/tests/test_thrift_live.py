"""Apache Thrift's own Python client against a served model: no gRPC anywhere."""

from __future__ import annotations

import random
import shutil
import socket
import ssl
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import numpy as np
import pytest
from navi_dr_transform._generated.prediction_service import PredictionService
from navi_dr_transform._generated.prediction_service.ttypes import (
    BatchPredictionRequest,
    PredictionRequest,
    PredictionServiceException,
)
from navi_dr_transform.converter import BprConverter
from navi_dr_transform.encode import encode_batch
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.thrift_records import data_record, decode_request, float_tensor
from navi_dr_transform.thrift_service.service import ThriftPredictionService
from navi_dr_transform.thrift_service.transport import ThriftTransport
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException, TMessageType
from thrift.transport.TSocket import TSocket
from thrift.transport.TSSLSocket import TSSLSocket
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport

from navi_core import Host
from navi_core.config.load import config_from_table
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NAMES = ["a.one", "a.two", "a.three"]
IDS = [feature_id(name) for name in NAMES]
ANSWERS = [feature_id(f"p.{name}") for name in NAMES]
POISON = 666.0

MODEL = {
    "converter": "bpr",
    "converter_options": {
        "layout": {
            "tensors": [
                {"name": "x", "source": "continuous", "dtype": "float32", "default": 0.0, "features": NAMES}
            ]
        }
    },
    "service_options": {
        "thrift_prediction": {"response_features": {"y": [f"p.{name}" for name in NAMES]}},
    },
    "outputs": ["y"],
    "stable_ms": 0,
    "batching": {"max_batch_rows": 64},
}


FORMS_OF_STRINGS = [
    (form, response) for form in ("prediction", "record") for response in ("tensors", "thrift")
]


def of_form(form, response):
    """Return a model like the others that takes another struct, and perhaps answers in thrift by itself."""
    features = MODEL["service_options"]["thrift_prediction"]["response_features"]
    if response == "thrift":
        options = {"request": form, "response": "thrift", "response_features": features}
        return {
            **MODEL,
            "converter_options": {**MODEL["converter_options"], **options},
            "service_options": {},
        }
    return {**MODEL, "converter_options": {**MODEL["converter_options"], "request": form}}


def serve(folder, *, tls=None, **service):
    models = {"double": (2.0, MODEL), "triple": (3.0, MODEL)}
    for form, response in FORMS_OF_STRINGS:
        models[f"{form}-{response}"] = (2.0, of_form(form, response))
    for name, (scale, _) in models.items():
        write_affine(folder / name, 1, scale=scale, width=3, poison=POISON)
    config = {
        "models": [{**model, "path": str(folder / name)} for name, (_, model) in models.items()],
        "transports": {"thrift": {"port": 0}},
        "service_options": {"thrift_prediction": {"model": "double", **service}},
    }
    if tls is not None:
        config["transports"]["thrift"]["tls"] = tls
    registry = registry_of(
        runtimes=[AffineRuntime],
        converters=[BprConverter],
        transports=[ThriftTransport],
        services=[ThriftPredictionService],
    )
    return Host(config_from_table(config), registry=registry)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("models")) as host:
        (address,) = host.addresses["thrift"]
        yield SimpleNamespace(host=address.host, port=address.port)


@contextmanager
def connected(served, *, framed=True, protocol=TBinaryProtocol, strict=True, service=None):
    """Yield Apache Thrift's client."""
    sock = TSocket(served.host, served.port)
    sock.setTimeout(120_000)
    transport = TFramedTransport(sock) if framed else TBufferedTransport(sock)
    transport.open()
    try:
        wired = protocol(transport, strictWrite=strict)
        yield PredictionService.Client(wired if service is None else TMultiplexedProtocol(wired, service))
    finally:
        transport.close()


def request(values, common=None):
    records = [data_record(continuous=dict(zip(IDS, row, strict=True))) for row in values]
    return BatchPredictionRequest(records, common)


def continuous(response):
    return [[each.continuousFeatures[key] for key in ANSWERS] for each in response.predictions]


FORMS = [(framed, strict) for framed in (True, False) for strict in (True, False)]


@pytest.mark.parametrize(("framed", "strict"), FORMS)
@pytest.mark.parametrize("protocol", [TBinaryProtocol, TBinaryProtocolAccelerated])
def test_both_methods_answer(served, framed, strict, protocol):
    with connected(served, framed=framed, strict=strict, protocol=protocol) as client:
        for _ in range(3):  # on one connection
            answer = client.getBatchPrediction(request([[1, 2, 3], [0.5, -1, 0]]))
            assert continuous(answer) == [[2, 4, 6], [1, -2, 0]]
            single = client.getPrediction(PredictionRequest(data_record(continuous={IDS[1]: 1.5})))
            assert single.prediction.continuousFeatures == dict(zip(ANSWERS, [0, 3, 0], strict=True))
        assert continuous(client.getBatchPrediction(request([]))) == []


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize(("form", "response"), FORMS_OF_STRINGS)
def test_models_that_take_other_structs_get_those(served, form, response, framed):
    with connected(served, service=f"{form}-{response}", framed=framed) as client:
        single = client.getPrediction(PredictionRequest(data_record(continuous={IDS[1]: 1.5})))
        assert single.prediction.continuousFeatures == dict(zip(ANSWERS, [0, 3, 0], strict=True))
        answer = client.getBatchPrediction(request([[1, 2, 3], [0.5, -1, 0]]))
        assert continuous(answer) == [[2, 4, 6], [1, -2, 0]]
        assert continuous(client.getBatchPrediction(request([], data_record()))) == []
        many = np.arange(3 * 700).reshape(700, 3) % 255
        assert continuous(client.getBatchPrediction(request(many.tolist()))) == (2 * many).tolist()
        with pytest.raises(PredictionServiceException, match="with request = 'batch' it takes batches"):
            client.getBatchPrediction(request([[1, 2, 3]], data_record(continuous={IDS[0]: 1.0})))
        with pytest.raises(PredictionServiceException, match="met its poison"):
            client.getBatchPrediction(request([[1, 2, 3], [POISON, 0, 0]]))


def test_a_batch_of_very_many_records_is_refused_where_each_is_a_string(served):
    with (
        connected(served, service="record-tensors", protocol=TBinaryProtocolAccelerated) as client,
        pytest.raises(PredictionServiceException, match="expected at most 65536 records, got 65537"),
    ):
        client.getBatchPrediction(BatchPredictionRequest([data_record()] * 65_537))


async def test_thrift_alone_carries_them(tmp_path):
    async with serve(tmp_path) as host:
        assert "thrift.PredictionService" not in host.router.rpc_services()  # what reflection lists
        for method in ("getPrediction", "getBatchPrediction"):
            assert host.router.rpc(f"/thrift.PredictionService/{method}") is None
            assert host.router.rpc(f"/thrift.PredictionService/{method}", "thrift") is not None


def test_the_flag_is_a_port():
    (flag,) = ThriftTransport.serve_flags
    assert (flag.name, flag.option, flag.parse("9191")) == ("--thrift-port", "port", 9191)
    for text in ("-1", "65536", "x", "٣"):
        with pytest.raises(ValueError, match="expected a port, 0 to 65535"):
            flag.parse(text)


def test_common_features_reach_every_record(served):
    with connected(served) as client:
        common = data_record(continuous={IDS[2]: 5.0})
        records = [data_record(continuous={IDS[0]: 1.0}), data_record()]
        answer = client.getBatchPrediction(BatchPredictionRequest(records, common))
    assert continuous(answer) == [[2, 0, 10], [0, 0, 10]]


def test_large_requests_of_the_encoder(served):
    values = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    payload = encode_batch(continuous=(NAMES, values), tensors={"a.tensor": np.ones((500, 200), np.float32)})
    assert len(payload) > 500_000
    decoded = decode_request(payload)
    for framed in (True, False):
        with connected(served, framed=framed, protocol=TBinaryProtocolAccelerated) as client:
            answer = continuous(client.getBatchPrediction(decoded))
        np.testing.assert_allclose(answer, values * 2.0, rtol=1e-6)


@pytest.mark.parametrize("framed", [True, False])
def test_what_the_model_says_no_to_is_a_prediction_service_exception(served, framed):
    with connected(served, framed=framed) as client:
        with pytest.raises(PredictionServiceException, match="met its poison"):
            client.getBatchPrediction(request([[POISON, 0, 0]]))
        tensors = data_record(tensors={IDS[0]: float_tensor([1])})
        tensors.tensors[IDS[0]].floatTensor = None  # a union without a member
        with pytest.raises(
            PredictionServiceException, match=r"expected exactly one known field of the union"
        ):
            client.getBatchPrediction(BatchPredictionRequest([tensors]))
        assert continuous(client.getBatchPrediction(request([[1, 1, 1]]))) == [[2, 2, 2]]


@pytest.mark.parametrize("framed", [True, False])
def test_a_multiplexed_protocol_names_the_model(served, framed):
    for service, expected in (("triple", 3.0), ("double", 2.0), ("PredictionService", 2.0)):
        with connected(served, framed=framed, service=service) as client:
            assert continuous(client.getBatchPrediction(request([[1, 1, 1]]))) == [[expected] * 3]
    with (
        connected(served, framed=framed, service="nobody") as client,
        pytest.raises(PredictionServiceException, match="nobody"),
    ):
        client.getBatchPrediction(request([[1, 1, 1]]))


def call_raw(client, name, arguments, kind=TMessageType.CALL):
    """Send a call of any kind and of any method; what comes back is read as a result of getPrediction."""
    protocol = client._oprot
    protocol.writeMessageBegin(name, kind, 3)
    arguments.write(protocol)
    protocol.writeMessageEnd()
    protocol.trans.flush()
    return client.recv_getPrediction()


@pytest.mark.parametrize("framed", [True, False])
def test_application_exceptions(served, framed):
    arguments = PredictionService.getPrediction_args(PredictionRequest(data_record()))
    with connected(served, framed=framed) as client:
        with pytest.raises(TApplicationException, match="Invalid method name: 'getNothing'") as caught:
            call_raw(client, "getNothing", arguments)
        assert caught.value.type == TApplicationException.UNKNOWN_METHOD
        with pytest.raises(TApplicationException, match="expected an argument, got none") as caught:
            call_raw(client, "getPrediction", PredictionService.getPrediction_args())
        assert caught.value.type == TApplicationException.PROTOCOL_ERROR
        with pytest.raises(TApplicationException, match="expected a call") as caught:
            call_raw(client, "getPrediction", arguments, TMessageType.REPLY)
        assert caught.value.type == TApplicationException.INVALID_MESSAGE_TYPE
        assert continuous(client.getBatchPrediction(request([[1, 1, 1]]))) == [[2, 2, 2]]


@pytest.mark.parametrize("framed", [True, False])
def test_a_one_way_call_has_no_answer(served, framed):
    arguments = PredictionService.getPrediction_args(PredictionRequest(data_record()))
    with connected(served, framed=framed) as client:
        for name in ("getPrediction", "getNothing"):
            protocol = client._oprot
            protocol.writeMessageBegin(name, TMessageType.ONEWAY, 1)
            arguments.write(protocol)
            protocol.writeMessageEnd()
            protocol.trans.flush()
        assert continuous(client.getBatchPrediction(request([[1, 1, 1]]))) == [[2, 2, 2]]


def test_many_clients_at_once(served):
    def calls(seed):
        rng = random.Random(seed)
        with connected(
            served, framed=seed % 2 == 0, protocol=TBinaryProtocolAccelerated, strict=seed % 3 > 0
        ) as client:
            for _ in range(25):
                values = [[rng.randint(-100, 100) for _ in NAMES] for _ in range(rng.randint(1, 20))]
                answer = continuous(client.getBatchPrediction(request(values)))
                assert answer == [[2 * value for value in row] for row in values]
        return True

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(calls, range(12)))


# --- what is hostile ------------------------------------------------------------------------------------------


def exchange(served, data, *, timeout_s=60.0):
    """Send bytes on a connection of their own; return all that comes back until the server closes it, or waits."""
    with socket.create_connection((served.host, served.port), timeout=timeout_s) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            received = b""
            while part := sock.recv(65536):
                received += part
        except ConnectionError:
            return b""
        return received


def framed_call(body, name=b"getBatchPrediction"):
    header = b"\x80\x01\x00\x01" + struct.pack(">i", len(name)) + name + struct.pack(">i", 1)
    return struct.pack(">i", len(header) + len(body)) + header + body


HOSTILE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x82\x21\x01\x0dgetPrediction",
    b"\x00\x00\x00\x00",
    b"\xff" * 64,
    b"\x7f\xff\xff\xff\x80\x01\x00\x01\x00\x00\x00\x01a",
    b"\x80\x01\x00\x01\x7f\xff\xff\xff",
    framed_call(b""),
    framed_call(b"\x0c\x00\x01\x0f\x00\x01\x0c\x7f\xff\xff\xff"),
    framed_call(b"\x0c\x00\x01" * 5000),
    framed_call(
        b"\x0c\x00\x01\x0f\x00\x01\x0c\x00\x00\x00\x01\x0d\x00\x02\x0a\x04\x7f\xff\xff\xff\x00\x00\x00"
    ),
    framed_call(b"\x0f\x00\x01\x0c\x00\x10\x00\x00" + bytes(1 << 20) + b"\x00"),
    framed_call(b"\x00", b"\xff\xfe"),
    framed_call(b"\x00", b":::"),
]


def test_hostile_connections_harm_nobody(served):
    rng = random.Random(7)
    good = framed_call(batch_arguments(request([[1, 2, 3]])))
    with connected(served) as client:
        for data in HOSTILE:
            exchange(served, data)
            exchange(served, data[4:])  # without the frame
            assert continuous(client.getBatchPrediction(request([[1, 1, 1]]))) == [[2, 2, 2]]
        for _ in range(60):
            damaged = bytearray(good * 2)
            for _ in range(rng.randint(1, 6)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            exchange(served, bytes(damaged[: rng.randint(1, len(damaged))]))
        assert continuous(client.getBatchPrediction(request([[1, 1, 1]]))) == [[2, 2, 2]]


def batch_arguments(batch):
    from thrift.TSerialization import serialize

    return serialize(PredictionService.getBatchPrediction_args(batch))


# --- TLS ------------------------------------------------------------------------------------------------------


def test_over_tls(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificate, and is not here")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with serve(tmp_path / "models", tls={"key": str(key), "certificate": str(certificate)}) as host:
        (address,) = host.addresses["thrift"]
        assert address.scheme == "thrifts"
        for wrap in (TFramedTransport, TBufferedTransport):
            sock = TSSLSocket(
                "127.0.0.1", address.port, ssl_context=ssl.create_default_context(cafile=str(certificate))
            )
            transport = wrap(sock)
            transport.open()
            try:
                client = PredictionService.Client(TBinaryProtocol(transport))
                values = [[float(row), 1, 1] for row in range(300)]
                answer = continuous(client.getBatchPrediction(request(values)))
                assert answer == [[2 * value for value in row] for row in values]
            finally:
                transport.close()
        with socket.create_connection(("127.0.0.1", address.port), timeout=60) as plain:
            plain.sendall(framed_call(b"\0"))
            with suppress(ConnectionResetError):
                assert plain.recv(100)[:1] in (b"\x15", b"")  # an alert, or nothing
