"""Arrays, examples, errors, settings: what needs no server."""

from __future__ import annotations

import pickle
import subprocess
import sys
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from navi_client import Client, ClientError, Code, Outputs, Request, Target, Tls, encode_example
from navi_client._generated.example_values import example_of
from navi_client.arrays import named_arrays
from navi_client.errors import DecodeError
from navi_client.narrow_floats import narrow_float

from navi_core import PredictRequest
from navi_core.wire import tf_serving as core


def test_strings_keep_their_zero_bytes():
    arrays = named_arrays({"a": [b"x\x00", b""], "b": b"y\x00", "c": "text", "d": [["n"]]})
    assert [arrays["a"].dtype, arrays["a"].tolist()] == [object, [b"x\x00", b""]]
    assert (arrays["b"].shape, arrays["b"].item()) == ((), b"y\x00")
    assert (arrays["c"].shape, arrays["c"].item()) == ((), "text")
    assert arrays["d"].shape == (1, 1)


def test_arrays_stay_and_lists_become_arrays():
    x = np.ones(3, np.float32)
    arrays = named_arrays({"x": x, "y": [1.5], "z": 2})
    assert arrays["x"] is x
    assert (arrays["y"].dtype, arrays["z"].shape) == (np.float64, ())
    with pytest.raises(ValueError, match="inhomogeneous"):
        named_arrays({"x": [[1], [1, 2]]})


def test_an_example_of_every_kind():
    data = encode_example(
        {
            "i": [1, -2],
            "f": np.array([0.5, 1], np.float32),
            "mixed": [1, 0.5],
            "s": "h\u00e9",
            "b": [b"\x00", "x"],
            "flag": True,
            "one": np.float32(2),
            "none": [],
        }
    )
    feature = core.Example.FromString(data).features.feature
    assert feature["i"].int64_list.value == [1, -2]
    assert feature["f"].float_list.value == [0.5, 1]
    assert feature["mixed"].float_list.value == [1, 0.5]
    assert feature["s"].bytes_list.value == ["h\u00e9".encode()]
    assert feature["b"].bytes_list.value == [b"\x00", b"x"]
    assert feature["flag"].int64_list.value == [1]
    assert feature["one"].float_list.value == [2]
    assert feature["none"].WhichOneof("kind") is None


def test_examples_that_are_none():
    with pytest.raises(TypeError, match=r"feature 'a': expected ints, floats or strings, got int, str"):
        encode_example({"a": [1, "x"]})
    with pytest.raises(ValueError, match="range"):
        encode_example({"a": 1 << 64})
    with pytest.raises(ValueError, match=r"expected a serialized tf\.Example"):
        example_of(b"\xff")


def test_an_error_says_who_and_how_often_and_survives_pickling():
    error = ClientError("too busy", code=Code.RESOURCE_EXHAUSTED, address="h:1", retries=2)
    assert str(error) == "h:1: RESOURCE_EXHAUSTED: too busy (after 2 retries)"
    assert error.code == "RESOURCE_EXHAUSTED"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.retries) == (str(error), error.code, 2)
    decode = pickle.loads(pickle.dumps(DecodeError("no", tensor="y", offset=3)))
    assert (str(decode), decode.tensor, decode.offset) == ("INTERNAL: no (at offset 3)", "y", 3)


def test_a_target_has_a_name_and_not_both_a_version_and_a_label():
    with pytest.raises(ValueError, match="model: expected a name"):
        Target("")
    with pytest.raises(ValueError, match="version 1 and label 'a'"):
        Target("m", 1, "a")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "http://h:1"}, "expected HOST:PORT"),
        ({"address": ""}, "expected HOST:PORT"),
        ({"protocol": "soap"}, "protocol: expected one of tf_serving, oip, proton, got 'soap'"),
        ({"token": "a\nb"}, "token: expected printable ASCII"),
        ({"timeout_s": 0}, "timeout_s: expected a time above 0"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"retries": -1}, "retries: at_most"),
        ({"compression": "zip"}, "compression: expected gzip"),
        ({"max_message_bytes": 0}, "max_message_bytes: expected 1 to"),
        ({"keepalive_s": 0}, "keepalive_s"),
    ],
)
def test_settings_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words) as caught:
        Client(**{"address": "h:1", **options})
    assert "a\nb" not in str(caught.value)  # a token is told to nobody


def test_tls_settings_that_cannot_be():
    with pytest.raises(ValueError, match="certificate and key, or neither"):
        Tls(certificate="c.pem")
    with pytest.raises(OSError, match=r"nowhere\.pem"):
        Client("h:1", tls=Tls(ca="nowhere.pem"))


def test_a_representation_has_no_token():
    client = Client("h:1", token="secret", protocol="oip")
    assert repr(client) == "Client('h:1', protocol='oip')"
    assert "secret" not in repr(client._connection)


def test_outputs_are_a_dict_with_attributes():
    outputs = Outputs({"y": np.ones(1)}, model="m", version="3")
    assert dict(outputs) == outputs
    assert (outputs.model, outputs.version, outputs.parameters) == ("m", "3", {})
    assert Request(Target("m"), {}).outputs == ()


def test_narrow_floats_without_ml_dtypes_are_their_bits():
    dtype = narrow_float("bfloat16", "<u2", SimpleNamespace())
    assert (dtype.names, dtype.itemsize) == (("bfloat16",), 2)
    assert narrow_float("bfloat16", "<u2", ml_dtypes) == np.dtype(ml_dtypes.bfloat16)


ALONE = """
import sys
for name in ("navi_core", "ml_dtypes", "tensorflow", "msgspec", "click", "aiohttp"):
    sys.modules[name] = None  # importing it fails
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "ml_dtypes" else find(name, *rest)
import numpy as np
from navi_client import Request, Target
from navi_client.protocols.oip import OpenInference
from navi_client.protocols.tf_serving import TfServing
from navi_client._generated import oip, tf_serving
bits = np.array([(0x3f80,), (0xc000,)], dtype=[("bfloat16", "<u2")])
request = Request(Target("m"), {"x": bits})
sys.stdout.write(TfServing(1 << 20).predict(request).body.hex() + " ")
answer = tf_serving.PredictResponse()
for field in ("half_val", "tensor_content"):
    tensor = answer.outputs[field]
    tensor.dtype = 14
    tensor.tensor_shape.dim.add().size = 2
answer.outputs["half_val"].half_val.extend([0x3f80, 0xc000])
answer.outputs["tensor_content"].tensor_content = bits.tobytes()
for array in TfServing(1 << 20)._read_predict_response(answer.SerializeToString()).values():
    assert array.dtype == bits.dtype and (array == bits).all(), array
answer = oip.ModelInferResponse(raw_output_contents=[bits.tobytes()])
answer.outputs.add(name="y", datatype="BF16", shape=[2])
assert (OpenInference(1 << 20)._read_infer_response(answer.SerializeToString())["y"] == bits).all()
sys.stdout.write(OpenInference(1 << 20).predict(request).body.hex())
"""


def test_it_runs_without_the_core_and_ml_dtypes():
    run = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    tf_body, oip_body = map(bytes.fromhex, run.stdout.split())
    x = np.array([1.0, -2.0], ml_dtypes.bfloat16)
    tensor = PredictRequest.FromString(tf_body).inputs["x"]
    assert (tensor.dtype, tensor.tensor_content) == (14, x.tobytes())
    assert oip_body.endswith(x.tobytes())
