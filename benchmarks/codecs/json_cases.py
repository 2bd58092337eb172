"""What the codecs of REST bodies are measured with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import orjson
from codec_cases import LARGE, LIMIT, SMALL, Case, random

from navi_core.signature import TensorSpec
from navi_core.tensors import DType
from navi_core.wire.json_predictions import encode_predictions
from navi_core.wire.oip_json_request import parse_json_infer_request
from navi_core.wire.oip_json_response import encode_json_infer_response
from navi_core.wire.tensor_json import decode_json_request

NUMPY = orjson.OPT_SERIALIZE_NUMPY


def json_cases() -> Iterator[Case]:
    """Make the cases."""
    for label, shape in (("16 floats", SMALL), ("floats", LARGE)):
        x = random(shape, "f4")
        yield _tf_request(f"{label}, rows", x, {"instances": x})
        yield _tf_request(f"{label}, columns", x, {"inputs": {"x": x}})
        yield from _oip_requests(label, x)
    ids = random(LARGE, "i8")
    yield _tf_request("int64, rows", ids, {"instances": ids})
    x = random(LARGE, "f4")
    named = [{"x": row} for row in x]
    yield _tf_request("floats, rows with names", x, {"instances": named})
    for label, shape in (("4 floats", (1, 4)), ("floats", LARGE)):
        outputs = {"y": random(shape, "f4")}
        navi = partial(encode_predictions, outputs, row_form=True)
        bare = partial(orjson.dumps, {"predictions": outputs["y"]}, option=NUMPY)
        yield Case(f"REST predict's answer, {label}", navi, navi(), bare)
        for way in ((), ("y",)):

            def infer(outputs: dict = outputs, way: tuple = way) -> bytes:
                found = encode_json_infer_response(
                    outputs, model="mlp", version=3, request_id="7", binary=way
                )
                return b"".join(found.pieces)

            flat = outputs["y"].reshape(-1)
            bare = None if way else partial(orjson.dumps, {"data": flat}, option=NUMPY)
            yield Case(f"REST infer's answer, {label}{', binary' if way else ''}", infer, infer(), bare)


def _tf_request(label: str, x: np.ndarray, document: dict) -> Case:
    body = orjson.dumps(document, option=NUMPY)
    dtype = DType.FLOAT32 if x.dtype.kind == "f" else DType.INT64
    specs = {"x": TensorSpec(name="x", dtype=dtype, shape=(None, x.shape[1]))}

    def navi() -> np.ndarray:
        return decode_json_request(body, lambda _: specs).inputs["x"]

    np.testing.assert_array_equal(navi(), x)
    return Case(f"REST predict, {label}", navi, body, partial(orjson.loads, body))


def _oip_requests(label: str, x: np.ndarray) -> Iterator[Case]:
    head = {"name": "x", "datatype": "FP32", "shape": list(x.shape)}
    body = orjson.dumps({"id": "7", "inputs": [{**head, "data": x.reshape(-1)}]}, option=NUMPY)

    def navi() -> np.ndarray:
        return parse_json_infer_request(body).decode_inputs(LIMIT, None)["x"]

    np.testing.assert_array_equal(navi(), x)
    yield Case(f"REST infer, {label}", navi, body, partial(orjson.loads, body))
    text = orjson.dumps({"id": "7", "inputs": [{**head, "parameters": {"binary_data_size": x.nbytes}}]})
    whole = text + x.tobytes()

    def binary() -> np.ndarray:
        return parse_json_infer_request(whole, len(text)).decode_inputs(LIMIT, None)["x"]

    np.testing.assert_array_equal(binary(), x)
    yield Case(f"REST infer, {label}, binary", binary, whole, partial(orjson.loads, text))
