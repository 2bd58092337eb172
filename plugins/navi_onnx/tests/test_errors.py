"""ONNX Runtime's texts as clients and operators get them. Texts are those of version 1.31."""

from __future__ import annotations

import pytest
from navi_onnx.errors import clean_text, run_error

from navi_core import ErrorCode, InferenceError, LifecycleError, RequestError

pytestmark = pytest.mark.integration

RESHAPE = (
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Reshape node. Name:'' "
    "Status Message: /onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:91 "
    "onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, "
    "onnxruntime::TensorShapeVector&, bool) input_shape_size == requested_shape_size was false. "
    "The input tensor cannot be reshaped to the requested shape. Input shape:{2,3}, requested shape:{9}\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            RESHAPE,
            (
                "Non-zero status code returned while running Reshape node. Status Message: "
                "input_shape_size == requested_shape_size was false. The input tensor cannot be reshaped to "
                "the requested shape. Input shape:{2,3}, requested shape:{9}"
            ),
        ),
        (
            (
                "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x for the "
                "following indices\n index: 1 Got: 4 Expected: 3\n Please fix either the inputs/outputs or the model."
            ),
            (
                "Got invalid dimensions for input: x for the following indices index: 1 Got: 4 Expected: 3 "
                "Please fix either the inputs/outputs or the model."
            ),
        ),
        (
            (
                "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running MatMul node. "
                "Name:'/layers.0/MatMul' Status Message: matmul_helper.h:59 Compute MatMul dimension mismatch"
            ),
            (
                "Non-zero status code returned while running MatMul node. Name:'/layers.0/MatMul' Status "
                "Message: MatMul dimension mismatch"
            ),
        ),
        (
            (
                "Load model from /srv/models/web/7/model.onnx failed: tensorprotoutils.cc:461 "
                'ValidateExternalDataPathFromDir External data path does not exist: "/srv/models/web/7/w.bin"'
            ),
            'Load model from model.onnx failed: External data path does not exist: "w.bin"',
        ),
        ("", ""),
    ],
    ids=["long position", "lines", "short position", "paths", "nothing"],
)
def test_clean_text__is_one_line_of_what_matters(text, expected):
    assert clean_text(text, "/srv/models/web/7") == expected


def test_clean_text__is_short():
    assert len(clean_text("x " * 5000)) == 400


@pytest.mark.parametrize(
    ("error", "kind", "out_of_memory"),
    [
        (RuntimeError("std::bad_alloc"), InferenceError, True),
        (MemoryError(), InferenceError, True),
        (RuntimeError("CUDA failure 2: out of memory ; GPU=0"), InferenceError, True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 1"), InferenceError, True),
        (RuntimeError("something else"), InferenceError, False),
        (ValueError("Required inputs (['x']) are missing"), RequestError, None),
        (UnicodeDecodeError("utf-8", b"secret\xff", 6, 7, "invalid start byte"), InferenceError, False),
    ],
    ids=["bad_alloc", "MemoryError", "CUDA", "arena", "other", "names", "text"],
)
def test_run_error__tells_faults_apart(error, kind, out_of_memory):
    got = run_error(error, model="m", signature="serving_default")
    assert type(got) is kind
    assert str(got).startswith("model 'm': ")
    assert "secret" not in str(got)
    if kind is InferenceError:
        assert got.out_of_memory is out_of_memory
        assert (got.code is ErrorCode.RESOURCE_EXHAUSTED) is out_of_memory
    else:
        assert got.code is ErrorCode.INVALID_ARGUMENT


def test_run_error__leaves_navi_s_own_alone():
    error = LifecycleError("closed")
    assert run_error(error, model="m", signature="s") is error
