"""What the codecs of gRPC messages are measured with: bodies as clients write them, and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from google.protobuf.internal import encoder

from navi_core.wire import oip, tf_serving
from navi_core.wire.oip_infer_request import parse_infer_request
from navi_core.wire.oip_infer_response import encode_infer_response
from navi_core.wire.predict_proto import encode_predict_response, parse_predict_request
from navi_core.wire.proton_predict import encode_inference_response, parse_inference_request
from navi_core.wire.tensor_proto import encode_tensor, varint

LIMIT = 2**31 - 1
SMALL, LARGE = (1, 16), (64, 5293)

Call = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One thing that is measured: navi's call, what a library does for the same, and the bytes that travel."""

    name: str
    navi: Call
    body: bytes
    bare: Call | None = None


def random(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return the same numbers each time: normal floats, ids of all lengths, texts."""
    rng = np.random.default_rng(7)
    if dtype == "strings":
        out = np.empty(int(np.prod(shape)), object)
        out[:] = [b"word%d" % number for number in rng.integers(0, 10**6, out.size)]
        return out.reshape(shape)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    bits = np.iinfo(dtype).bits - 1
    return (rng.integers(0, 2**bits - 1, shape) >> rng.integers(0, bits, shape)).astype(dtype)


def predict_body(array: np.ndarray, *, as_content: bool = False, unpacked: bool = False) -> bytes:
    """Return a PredictRequest as a client writes it; ``unpacked``: with a tag before each value."""
    tensor = b"".join(encode_tensor(array, as_content=as_content))
    if unpacked:
        message = tf_serving.TensorProto.FromString(tensor)
        message.ClearField("float_val")
        out = bytearray(message.SerializeToString())
        encoder.FloatEncoder(5, True, False)(out.extend, array.reshape(-1).tolist(), False)
        tensor = bytes(out)
    spec = tf_serving.ModelSpec(name="mlp", signature_name="serving_default").SerializeToString()
    return field(1, spec) + field(2, field(1, b"x") + field(2, tensor))


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def infer_body(array: np.ndarray, datatype: str, *, field: str = "") -> bytes:
    """Return a ModelInferRequest with raw contents, or with values in ``field``."""
    request = oip.ModelInferRequest(model_name="mlp", id="7")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    if field:
        getattr(tensor.contents, field).extend(array.reshape(-1).tolist())
    elif datatype == "BYTES":
        pieces = [len(item).to_bytes(4, "little") + item for item in array.reshape(-1).tolist()]
        request.raw_input_contents.append(b"".join(pieces))
    else:
        request.raw_input_contents.append(array.tobytes())
    return request.SerializeToString()


def decode_predict(body: bytes) -> dict[str, np.ndarray]:
    return parse_predict_request(body).decode_inputs(LIMIT)


def decode_infer(body: bytes) -> dict[str, np.ndarray]:
    return parse_infer_request(body).decode_inputs(LIMIT, None)  # type: ignore[arg-type]


def grpc_cases() -> Iterator[Case]:
    """Make the cases; every one checks that it reads or writes the right thing."""
    yield from _predict_requests()
    yield from _infer_requests()
    yield from _answers()


def _predict_requests() -> Iterator[Case]:
    parse = tf_serving.PredictRequest.FromString
    few = [
        ("16 float_val", SMALL, "f4", {}),
        ("16 floats, tensor_content", SMALL, "f4", {"as_content": True}),
        ("16 int64_val", SMALL, "i8", {}),
        ("16 string_val", SMALL, "strings", {}),
        ("float_val", LARGE, "f4", {}),
        ("float_val, unpacked", LARGE, "f4", {"unpacked": True}),
        ("tensor_content", LARGE, "f4", {"as_content": True}),
        ("double_val", LARGE, "f8", {}),
        ("int64_val", LARGE, "i8", {}),
        ("int_val", LARGE, "i4", {}),
        ("string_val", LARGE, "strings", {}),
    ]
    for label, shape, dtype, how in few:
        array = random(shape, dtype)
        body = predict_body(array, **how)
        found = decode_predict(body)["x"]
        assert found.tolist() == array.tolist(), label
        yield Case(f"Predict, {label}", partial(decode_predict, body), body, partial(parse, body))


def _infer_requests() -> Iterator[Case]:
    parse = oip.ModelInferRequest.FromString
    for label, shape, dtype, datatype, field in [
        ("16 floats, raw", SMALL, "f4", "FP32", ""),
        ("16 fp32_contents", SMALL, "f4", "FP32", "fp32_contents"),
        ("raw floats", LARGE, "f4", "FP32", ""),
        ("fp32_contents", LARGE, "f4", "FP32", "fp32_contents"),
        ("int64_contents", LARGE, "i8", "INT64", "int64_contents"),
        ("raw strings", LARGE, "strings", "BYTES", ""),
        ("bytes_contents", LARGE, "strings", "BYTES", "bytes_contents"),
    ]:
        array = random(shape, dtype)
        body = infer_body(array, datatype, field=field)
        assert decode_infer(body)["x"].tolist() == array.tolist(), label
        yield Case(f"ModelInfer, {label}", partial(decode_infer, body), body, partial(parse, body))
    array = random(SMALL, "f4")
    body = b"\x0a\x03mlp\x12\x40" + array.tobytes() + b"\x1a\x02\x01\x10"
    assert parse_inference_request(body).array.tolist() == array.tolist()
    yield Case("Proton, 16 floats", partial(parse_inference_request, body), body)


def _answers() -> Iterator[Case]:
    names = {"model": "mlp", "version": 3, "signature": "serving_default"}
    for label, shape, dtype, as_content in [
        ("4 floats", (1, 4), "f4", False),
        ("4 floats, tensor_content", (1, 4), "f4", True),
        ("4 int64", (1, 4), "i8", False),
        ("4 strings", (1, 4), "strings", False),
        ("float_val", LARGE, "f4", False),
        ("double_val", LARGE, "f8", False),
        ("int64_val", LARGE, "i8", False),
        ("int_val", LARGE, "i4", False),
        ("string_val", LARGE, "strings", False),
    ]:
        outputs = {"y": random(shape, dtype)}

        def navi(outputs: Any = outputs, as_content: bool = as_content) -> bytes:
            return b"".join(encode_predict_response(outputs, **names, as_content=as_content)[0])

        body = navi()
        message = tf_serving.PredictResponse.FromString(body)
        assert message.model_spec.version.value == 3
        yield Case(f"Predict's answer, {label}", navi, body, message.SerializeToString)
    for label, shape, dtype, typed in [
        ("4 floats, raw", (1, 4), "f4", False),
        ("4 fp32_contents", (1, 4), "f4", True),
        ("raw floats", LARGE, "f4", False),
        ("fp32_contents", LARGE, "f4", True),
        ("int64_contents", LARGE, "i8", True),
        ("raw strings", LARGE, "strings", False),
        ("bytes_contents", LARGE, "strings", True),
    ]:
        outputs = {"y": random(shape, dtype)}

        def infer(outputs: Any = outputs, typed: bool = typed) -> bytes:
            pieces, _ = encode_infer_response(outputs, model="mlp", version=3, request_id="7", typed=typed)
            return b"".join(pieces)

        body = infer()
        message = oip.ModelInferResponse.FromString(body)
        assert message.model_version == "3"
        yield Case(f"ModelInfer's answer, {label}", infer, body, message.SerializeToString)
    array = random((1, 4), "f4")

    def proton() -> bytes:
        return b"".join(encode_inference_response(array, prediction_id="7", model_name="mlp")[0])

    yield Case("Proton's answer, 4 floats", proton, proton())
