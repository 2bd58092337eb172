from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from navi_core.errors import DecodeError
from navi_core.wire import grpc_health, tf_serving
from navi_core.wire.descriptors import DescriptorSet, parse_message

ROOT = Path(__file__).resolve().parents[3]

VECTORS = [
    # The wire format's golden vectors: what TensorFlow Serving's own messages serialize to.
    ("ModelSpec", "name: 'm'", "0a016d"),
    ("ModelSpec", "name: 'm' version { value: 0 }", "0a016d1200"),
    ("ModelSpec", "name: 'm' version { value: 3 } signature_name: 's'", "0a016d120208031a0173"),
    ("ModelSpec", "name: 'm' version_label: 'stable'", "0a016d2206737461626c65"),
    (
        "TensorProto",
        "dtype: DT_FLOAT tensor_shape { dim { size: 2 } } float_val: [1, 2]",
        "08011204120208022a080000803f00000040",
    ),
    (
        "TensorProto",
        r"dtype: DT_FLOAT tensor_shape { dim { size: 2 } } tensor_content: '\000\000\200?\000\000\000@'",
        "080112041202080222080000803f00000040",
    ),
    (
        "TensorProto",
        "dtype: DT_HALF tensor_shape { dim { size: 2 } } half_val: [0x3c00, 0xc000]",
        "08131204120208026a058078808003",
    ),
    ("TensorProto", "dtype: DT_STRING tensor_shape {} string_val: 'ab'", "0807120042026162"),
    (
        "TensorProto",
        "dtype: DT_INT32 tensor_shape { dim { size: 1 } } int_val: -1",
        "08031204120208013a0affffffffffffffffff01",
    ),
    (
        "PredictRequest",
        """model_spec { name: 'm' } output_filter: 'y'
        inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 1 } }""",
        "0a030a016d12130a0178120e08011204120208012a040000803f1a0179",
    ),
    (
        "PredictResponse",
        """outputs { key: 'y' value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 2.5 } }
        model_spec { name: 'm' version { value: 1 } signature_name: 'serving_default' }""",
        "0a130a0179120e08011204120208012a040000204012180a016d120208011a0f73657276696e675f64656661756c74",
    ),
    (
        "GetModelStatusResponse",
        "model_version_status { version: 1 state: AVAILABLE status {} }",
        "0a060801101e1a00",
    ),
    ("PredictionLog", "predict_log { request { model_spec { name: 'm' } } }", "32070a050a030a016d"),
]


@pytest.mark.parametrize(("message", "text", "wire"), VECTORS, ids=[wire[:24] for *_, wire in VECTORS])
def test_messages__serialize_as_the_golden_vectors(message, text, wire):
    from google.protobuf import text_format

    kind = tf_serving.DESCRIPTORS.message_class(message)
    parsed = text_format.Parse(text, kind(), descriptor_pool=tf_serving.DESCRIPTORS.pool)
    assert parsed.SerializeToString(deterministic=True).hex() == wire
    assert parse_message(kind, bytes.fromhex(wire)) == parsed


def test_health_messages__serialize_as_the_golden_vectors():
    response = grpc_health.HealthCheckResponse
    assert response(status=response.SERVING).SerializeToString().hex() == "0801"
    assert response(status=response.NOT_SERVING).SerializeToString().hex() == "0802"
    assert grpc_health.HealthCheckRequest().SerializeToString() == b""


def test_message_class__takes_full_and_short_names():
    messages = DescriptorSet("tf_serving")
    assert messages.message_class("tensorflow.serving.ModelSpec") is messages.message_class("ModelSpec")
    assert messages.message_class("tensorflow.TensorShapeProto.Dim").DESCRIPTOR.name == "Dim"


def test_message_class__unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        DescriptorSet("tf_serving").message_class("tensorflow.serving.Nothing")


def test_module_attribute__unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = tf_serving.Nothing


def test_descriptor_set__is_built_once_by_many_threads():
    messages = DescriptorSet("tf_serving")
    start = threading.Barrier(8)
    found = []

    def ask():
        start.wait()
        found.append(messages.message_class("PredictRequest"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_descriptor_set__holds_services_and_every_import():
    from google.protobuf import descriptor_pb2

    files = descriptor_pb2.FileDescriptorSet.FromString(tf_serving.DESCRIPTORS.serialized).file
    names = [file.name for file in files]
    for index, file in enumerate(files):
        assert set(file.dependency) <= set(names[:index]), file.name
    services = {f"{file.package}.{service.name}" for file in files for service in file.service}
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= services


def test_parse_message__refuses_bytes_that_are_none():
    with pytest.raises(DecodeError, match=r"expected a tensorflow\.serving\.ModelSpec"):
        parse_message(tf_serving.ModelSpec, b"\x0a\xff")


def test_parse_message__refuses_deep_nesting():
    body = b""
    for _ in range(500):  # a TensorProto in a VariantTensorDataProto in a TensorProto...
        body = b"\x1a" + _varint(len(body)) + body
        body = b"\x7a" + _varint(len(body)) + body
    with pytest.raises(DecodeError):
        parse_message(tf_serving.TensorProto, body)


def _varint(value):
    from navi_core.wire.tensor_proto import varint

    return varint(value)


def test_committed_files__are_what_the_definitions_compile_to():
    pytest.importorskip("grpc_tools", reason="grpcio-tools compiles the definitions")
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_descriptors.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.integration
@pytest.mark.parametrize("order", ["navi first", "navi last"])
@pytest.mark.parametrize(
    ("package", "module", "message"),
    [
        ("tensorflow-serving-api", "tensorflow_serving.apis.predict_pb2", "PredictRequest"),
        ("tritonclient", "tritonclient.grpc.service_pb2", "ModelInferRequest"),
        ("grpcio-health-checking", "grpc_health.v1.health_pb2", "HealthCheckRequest"),
    ],
)
def test_messages__import_beside_the_protocols_own_packages(package, module, message, order):
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{package} is not installed")
    ours = """
from navi_core.wire import grpc_health, tf_serving
data = tf_serving.PredictRequest(output_filter=["y"]).SerializeToString()
grpc_health.HealthCheckRequest()
"""
    theirs = f"import {module} as theirs\ntheirs.{message}()\n"
    joined = "assert data == bytes.fromhex('1a0179')\n"
    if message == "PredictRequest":
        joined += "assert list(theirs.PredictRequest.FromString(data).output_filter) == ['y']\n"
    script = (ours + theirs if order == "navi first" else theirs + ours) + joined
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
