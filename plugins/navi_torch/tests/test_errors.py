"""torch's texts as clients and operators get them. Texts are those of version 2.13."""

from __future__ import annotations

import pytest
from navi_torch.errors import clean_text, run_error

from navi_core import ErrorCode, InferenceError, LifecycleError, RequestError

SCRIPT = (
    "The following operation failed in the TorchScript interpreter.\n"
    "Traceback of TorchScript, serialized code (most recent call last):\n"
    '  File "code/__torch__.py", line 9, in forward\n'
    "    _0 = torch.linear(x, weight, bias)\n"
    "         ~~~~~~~~~~~~ <--- HERE\n"
    "\n"
    "Traceback of TorchScript, original code (most recent call last):\n"
    '  File "/srv/train/model.py", line 7, in forward\n'
    "    return self.layer(x)\n"
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x4 and 16x64)\n"
)
FRAMES = (
    "shape '[9]' is invalid for input of size 6\n"
    "Exception raised from infer_size_impl at /pytorch/aten/src/ATen/InferSize.h:80 (most recent call first):\n"
    "frame #0: c10::Error::Error(c10::SourceLocation, std::string) + 0x80 (0x7f in /x/libc10.so)\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SCRIPT, "mat1 and mat2 shapes cannot be multiplied (2x4 and 16x64)"),
        (FRAMES, "shape '[9]' is invalid for input of size 6"),
        (
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
        ),
        (
            "run_func_(...) API call failed at /pytorch/torch/csrc/x.cpp, line 123",
            "run_func_(...) API call failed line 123",
        ),
        (
            "open file failed because of errno 2: /srv/models/web/7/model.pt",
            "open file failed because of errno 2: model.pt",
        ),
        (
            "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported",
            "CUDA error: device-side assert triggered",
        ),
        ("", ""),
    ],
    ids=["torchscript", "frames", "allocator", "position", "path", "cuda", "nothing"],
)
def test_clean_text__is_one_line_of_what_matters(text, expected):
    assert clean_text(text, "/srv/models/web/7") == expected


def test_clean_text__is_short():
    assert len(clean_text("x " * 5000)) == 400


@pytest.mark.parametrize(
    ("error", "kind", "out_of_memory"),
    [
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            InferenceError,
            True,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), InferenceError, True),
        (RuntimeError("std::bad_alloc"), InferenceError, True),
        (MemoryError(), InferenceError, True),
        (RuntimeError(SCRIPT), RequestError, None),
        (RuntimeError(FRAMES), RequestError, None),
        (IndexError("index out of range in self"), RequestError, None),
        (
            RuntimeError(
                "The size of tensor a (4) must match the size of tensor b (3) at non-singleton dimension 1"
            ),
            RequestError,
            None,
        ),
        (AssertionError("Guard failed: x.size()[0] <= 8"), RequestError, None),
        (RuntimeError("something else"), InferenceError, False),
        (NotImplementedError("The operator 'aten::x' is not implemented"), InferenceError, False),
    ],
)
def test_run_error__tells_faults_apart(error, kind, out_of_memory):
    got = run_error(error, model="m", signature="serving_default")
    assert type(got) is kind
    assert str(got).startswith("model 'm': ")
    assert "\n" not in str(got)
    if kind is InferenceError:
        assert got.out_of_memory is out_of_memory
        assert (got.code is ErrorCode.RESOURCE_EXHAUSTED) is out_of_memory
    else:
        assert got.code is ErrorCode.INVALID_ARGUMENT


def test_run_error__leaves_navi_s_own_alone():
    error = LifecycleError("closed")
    assert run_error(error, model="m", signature="s") is error
