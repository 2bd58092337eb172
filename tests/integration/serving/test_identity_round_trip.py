"""What goes in comes out: every element type, rank and way in, with equal bits.

The requests are written and the answers read here, from the protocols' definitions, so that a mistake
that navi's own encoder and decoder share cannot cancel out.
"""

from __future__ import annotations

import base64
import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import ml_dtypes
import numpy as np
import pytest

from navi_core import BatchingSettings, DType, Host, HostConfig, ModelConfig, TransportSettings
from navi_core.wire.tf_serving import PredictRequest, PredictResponse

pytest.importorskip("onnx", reason="the models of these tests are written with onnx")
testing = pytest.importorskip("navi_onnx.testing", reason="these tests serve ONNX models")

pytestmark = pytest.mark.integration

PREDICT = "/tensorflow.serving.PredictionService/Predict"


@dataclass(frozen=True)
class Kind:
    """How TensorFlow's messages carry an element type: DataType number, field, and whether JSON has it."""

    dtype: object
    number: int
    field: str
    in_json: bool = True


KINDS = {
    DType.BOOL: Kind(np.bool_, 10, "bool_val"),
    DType.INT8: Kind(np.int8, 6, "int_val"),
    DType.INT16: Kind(np.int16, 5, "int_val"),
    DType.INT32: Kind(np.int32, 3, "int_val"),
    DType.INT64: Kind(np.int64, 9, "int64_val"),
    DType.UINT8: Kind(np.uint8, 4, "int_val"),
    DType.UINT16: Kind(np.uint16, 17, "int_val", in_json=False),
    DType.UINT32: Kind(np.uint32, 22, "uint32_val"),
    DType.UINT64: Kind(np.uint64, 23, "uint64_val"),
    DType.FLOAT16: Kind(np.float16, 19, "half_val", in_json=False),
    DType.BFLOAT16: Kind(ml_dtypes.bfloat16, 14, "half_val", in_json=False),
    DType.FLOAT32: Kind(np.float32, 1, "float_val"),
    DType.FLOAT64: Kind(np.float64, 2, "double_val"),
    DType.STRING: Kind(object, 7, "string_val"),
}

SHAPES = {
    "rank0": [()] * 9,
    "rank1": [(40,), (1,), (0,)],
    "rank3": [(4, 3, 5), (0, 3, 5), (4, 0, 5), (4, 3, 0)],
}
"""Model -> shapes sent to it; zero rows, and zero elements in other dimensions, among them."""

MODEL_SHAPES = {"rank0": [], "rank1": ["batch"], "rank3": ["batch", "m", "n"]}

STRINGS = [b"", b"a", b"\x00", b"a\x00", "\u00e9\U0001f600".encode(), b' \n"\\', b"x" * 300]

IN_JSON = [dtype for dtype, kind in KINDS.items() if kind.in_json]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    models = []
    for dtype in KINDS:
        for rank, shape in MODEL_SHAPES.items():
            path = root / f"{dtype}_{rank}"
            testing.store(testing.identity_model(dtype, shape), path / "1")
            models.append(ModelConfig(path=str(path), stable_ms=0))
        # the timeout only matters should the requests of a batch not come
        batching = BatchingSettings(max_batch_requests=3, batch_timeout_ms=10_000, max_concurrent_batches=1)
        path = root / f"{dtype}_rank3"
        models.append(ModelConfig(path=str(path), name=f"{dtype}_batched", stable_ms=0, batching=batching))
    transports = {name: TransportSettings(port=0) for name in ("grpc", "http")}
    with Host(HostConfig(models=tuple(models), transports=transports)) as running:
        yield running


def address(host, transport):
    [found] = host.addresses[transport]
    return f"{found.host}:{found.port}"


@pytest.fixture(scope="module")
def channel(host):
    with grpc.insecure_channel(address(host, "grpc")) as opened:
        yield opened


@pytest.fixture(scope="module")
def connection(host):
    opened = http.client.HTTPConnection(address(host, "http"))
    yield opened
    opened.close()


def flat_values(dtype, count, seed):
    """Extreme values, then any bits; NaNs are quiet, for a signalling one does not survive Python's own float."""
    kind = np.dtype(KINDS[dtype].dtype)
    if dtype is DType.STRING:
        out = np.empty(count, object)
        out[:] = [STRINGS[(index + seed) % len(STRINGS)] for index in range(count)]
        return out
    random = np.random.default_rng([seed, kind.itemsize])
    if dtype is DType.BOOL:
        return random.integers(0, 2, count).astype(np.bool_)
    bits = random.integers(0, 256, count * kind.itemsize, dtype=np.uint8).view(f"u{kind.itemsize}")
    if kind.kind in "iu":
        limits = np.array([np.iinfo(kind).min, np.iinfo(kind).max, 0], kind)
    else:
        info = ml_dtypes.finfo(kind)
        limits = np.array(
            [-0.0, info.max, info.min, info.smallest_subnormal, np.inf, -np.inf, np.nan], dtype=kind
        )
        nan = np.isnan(bits.view(kind))
        bits[nan] |= np.array([np.nan], kind).view(bits.dtype)
    return np.roll(np.concatenate([limits, bits.view(kind)]), -seed)[:count]


def arrays(dtype, rank):
    for seed, shape in enumerate(SHAPES[rank]):
        yield flat_values(dtype, int(np.prod(shape)), seed).reshape(shape)


def assert_same(actual, expected):
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if expected.dtype == object:
        assert actual.tolist() == expected.tolist()
    else:
        assert actual.tobytes() == expected.tobytes()


CASES = pytest.mark.parametrize(
    ("dtype", "rank"), [pytest.param(dtype, rank, id=f"{dtype}-{rank}") for dtype in KINDS for rank in SHAPES]
)


# --- in process -----------------------------------------------------------------------------------


@CASES
def test_in_process(host, dtype, rank):
    for array in arrays(dtype, rank):
        assert_same(host.predict(f"{dtype}_{rank}", {"x": array})["y"], array)


@pytest.mark.parametrize("dtype", KINDS)
def test_in_process__three_requests_in_one_batch(host, connection, dtype):
    sent = [flat_values(dtype, rows * 6, rows).reshape(rows, 2, 3) for rows in (3, 0, 4)]
    with ThreadPoolExecutor(3) as threads:
        answers = threads.map(lambda array: host.predict(f"{dtype}_batched", {"x": array})["y"], sent)
    for actual, expected in zip(answers, sent, strict=True):
        assert_same(actual, expected)
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    batches = [line for line in page.splitlines() if line.startswith("navi_batch_requests_sum")]
    assert any(f'"{dtype}_batched"' in line and line.endswith(" 3.0") for line in batches)


# --- gRPC -----------------------------------------------------------------------------------------


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def content_of(array):
    if array.dtype != object:
        return array.tobytes()
    items = array.reshape(-1).tolist()
    return b"".join([varint(len(item)) for item in items] + items)


def values_of(array, kind):
    if kind.field == "half_val":
        array = array.view(np.uint16)
    return array.reshape(-1).tolist()


def array_of(tensor, kind):
    values = list(getattr(tensor, kind.field))
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if kind.dtype is object:
        array = np.empty(len(values), object)
        array[:] = values
    elif kind.field == "half_val":
        array = np.array(values, np.uint16).view(kind.dtype)
    else:
        array = np.array(values, kind.dtype)
    return array.reshape(shape)


@CASES
@pytest.mark.parametrize("form", ["tensor_content", "values"])
def test_grpc(channel, dtype, rank, form):
    kind, name = KINDS[dtype], f"{dtype}_{rank}"
    for array in arrays(dtype, rank):
        request = PredictRequest()
        request.model_spec.name = name
        tensor = request.inputs["x"]
        tensor.dtype = kind.number
        for size in array.shape:
            tensor.tensor_shape.dim.add().size = size
        if form == "tensor_content":
            tensor.tensor_content = content_of(array)
        else:
            getattr(tensor, kind.field).extend(values_of(array, kind))
        answer = PredictResponse.FromString(channel.unary_unary(PREDICT)(request.SerializeToString()))
        [(output, tensor)] = answer.outputs.items()
        assert (output, tensor.dtype) == ("y", kind.number)
        assert not tensor.tensor_content
        assert_same(array_of(tensor, kind), array)


# --- REST -----------------------------------------------------------------------------------------


def ask(connection, name, document):
    connection.request("POST", f"/v1/models/{name}:predict", json.dumps(document))
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def shown(array, *, as_base64=False):
    """An array as JSON has it."""
    if array.dtype != object:
        return array.tolist()
    return np.vectorize(
        lambda item: {"b64": base64.b64encode(item).decode()} if as_base64 else item.decode(), otypes=[object]
    )(array).tolist()


def read(value, array):
    """What JSON shows, as an array like ``array``."""
    if array.dtype != object:
        return np.array(value, array.dtype)
    return np.vectorize(lambda item: item.encode(), otypes=[object])(np.array(value, object))


def plain_nan(array):
    """JSON knows one NaN."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array


def in_json(dtype, rank):
    """The arrays that nested lists can say: an empty list says nothing of what would be in it."""
    return [plain_nan(array) for array in arrays(dtype, rank) if 0 not in array.shape[:-1]]


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("dtype", IN_JSON)
def test_rest__columns(connection, dtype, rank):
    for array in in_json(dtype, rank):
        for as_base64 in (False, True):
            document = {"inputs": {"x": shown(array, as_base64=as_base64)}}
            status, answer = ask(connection, f"{dtype}_{rank}", document)
            assert (status, list(answer)) == (200, ["outputs"])
            assert_same(read(answer["outputs"], array), array)


@pytest.mark.parametrize("rank", ["rank1", "rank3"])
@pytest.mark.parametrize("dtype", IN_JSON)
def test_rest__rows(connection, dtype, rank):
    for array in in_json(dtype, rank):
        if not len(array):
            continue  # "No values in 'instances' array" is an error of the protocol
        rows = shown(array)
        for instances in (rows, [{"x": row} for row in rows]):
            status, answer = ask(connection, f"{dtype}_{rank}", {"instances": instances})
            assert (status, list(answer)) == (200, ["predictions"])
            assert_same(read(answer["predictions"], array), array)


@pytest.mark.parametrize("document", [{"inputs": [1]}, {"instances": [1]}], ids=["columns", "rows"])
@pytest.mark.parametrize("dtype", [dtype for dtype in KINDS if dtype not in IN_JSON])
def test_rest__types_that_json_requests_cannot_carry(connection, dtype, document):
    status, answer = ask(connection, f"{dtype}_rank1", document)
    assert status == 501
    word = "half" if dtype is DType.FLOAT16 else str(dtype)
    assert f"Conversion of JSON Value: 1 to type: {word}" in answer["error"]
