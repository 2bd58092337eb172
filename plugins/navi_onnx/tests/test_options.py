"""What options may say, and Navi's flags as options."""

from __future__ import annotations

import msgspec
import pytest
from navi_onnx.flags import SERVE_FLAGS, parse_gpu_ep, parse_pairs, parse_thread_pool
from navi_onnx.options import OnnxOptions, ProviderOptions, ThreadPoolOptions

FLAGS = {flag.name: flag for flag in SERVE_FLAGS}


def options(**table):
    return msgspec.convert(table, OnnxOptions)


def test_options__defaults_are_a_server_s():
    assert options() == OnnxOptions()
    assert options().execution_mode == "sequential"


def test_options__providers_are_names_or_tables():
    got = options(providers=["cuda", {"name": "cpu", "options": {"a": 1, "b": "x", "c": True}}])
    assert got.providers == ("cuda", ProviderOptions(name="cpu", options={"a": 1, "b": "x", "c": True}))


@pytest.mark.parametrize(
    "table",
    [
        {"intra_op_thread": 1},
        {"intra_op_threads": -1},
        {"intra_op_threads": "two"},
        {"execution_mode": "both"},
        {"optimization_level": "most"},
        {"gpu_ep": "rocm"},
        {"memory_pattern": "yes"},
        {"providers": [{"title": "cuda"}]},
        {"global_thread_pool": {"intra_op_parallelism": 2}},
        {"session_config": {"a": 1}},
        {"zipmap": "maybe"},
    ],
    ids=lambda table: next(iter(table)),
)
def test_options__refuse_what_they_do_not_know(table):
    with pytest.raises(msgspec.ValidationError):
        options(**table)


def test_options__external_data_cannot_be_sent_elsewhere():
    with pytest.raises(msgspec.ValidationError, match="external data stays in the model's directory"):
        options(session_config={"session.model_external_initializers_file_folder_path": "/"})


def test_pairs__are_split_at_the_first_equals_sign():
    assert parse_pairs("") == {}
    assert parse_pairs("a=1,b=x=y,c=") == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("text", ["a", "a=1,", ",a=1", "=1", "a=1,b", "a=1,a=2"])
def test_pairs__without_key_or_equals_sign_are_refused(text):
    with pytest.raises(ValueError, match=r"expected key=value|twice"):
        parse_pairs(text)


def test_thread_pool__takes_navi_s_keys():
    assert parse_thread_pool("") is None
    got = parse_thread_pool("inter_op_parallelism=2,intra_op_parallelism=4")
    assert msgspec.convert(got, ThreadPoolOptions) == ThreadPoolOptions(
        intra_op_threads=4, inter_op_threads=2
    )
    assert parse_thread_pool("intra_op_parallelism=0") == {"intra_op_threads": 0}


@pytest.mark.parametrize(
    "text",
    [
        "spin_control=1",
        "intra_op_parallelism=-1",
        "intra_op_parallelism=two",
        "intra_op_parallelism=",
        "intra_op_parallelism=1,intra_op_threads=2",
    ],
)
def test_thread_pool__refuses_other_keys_and_no_numbers(text):
    with pytest.raises(ValueError, match=r"expected|twice"):
        parse_thread_pool(text)


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "onednn"])
def test_gpu_ep__knows_three_names(name):
    assert parse_gpu_ep(name) == name


@pytest.mark.parametrize("name", ["", "cpu", "CUDA", "rocm"])
def test_gpu_ep__is_the_cpu_otherwise(name):
    assert parse_gpu_ep(name) == "cpu"


@pytest.mark.parametrize(
    ("flag", "text", "field", "expected"),
    [
        ("--onnx-use-parallel-mode", "true", "execution_mode", "parallel"),
        ("--onnx-use-parallel-mode", "True", "execution_mode", "sequential"),
        ("--onnx-use-parallel-mode", "", "execution_mode", "sequential"),
        ("--onnx-use-memory-pattern", "true", "memory_pattern", True),
        ("--onnx-use-memory-pattern", "yes", "memory_pattern", False),
        ("--onnx-ep-options", "device_id=1", "ep_options", {"device_id": "1"}),
        ("--onnx-gpu-ep", "tensorrt", "gpu_ep", "tensorrt"),
        ("--onnx-gpu-ep", "none", "gpu_ep", "cpu"),
        ("--profiling", "prefix", "profiling", "prefix"),
        ("--profiling", "", "profiling", None),
        (
            "--onnx-global-thread-pool-options",
            "intra_op_parallelism=2",
            "global_thread_pool",
            ThreadPoolOptions(intra_op_threads=2),
        ),
    ],
)
def test_flags__set_options(flag, text, field, expected):
    value = FLAGS[flag].parse(text)
    assert FLAGS[flag].option == field
    assert getattr(options(**{field: value}), field) == expected


def test_flags__are_navi_s():
    assert set(FLAGS) == {
        "--onnx-global-thread-pool-options",
        "--onnx-use-parallel-mode",
        "--onnx-use-memory-pattern",
        "--onnx-ep-options",
        "--onnx-gpu-ep",
        "--profiling",
    }
