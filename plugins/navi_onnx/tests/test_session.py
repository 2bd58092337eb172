"""Sessions: options reach ONNX Runtime, providers are named, load failures say why."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
from navi_onnx.options import OnnxOptions, ProviderOptions
from navi_onnx.runtime import OnnxRuntime
from navi_onnx.session import open_session
from navi_onnx.testing import build, fixed_model, mlp_model, pair_model, store
from onnx import TensorProto, helper

from navi_core import Artifact, LoadOptions, ModelLoadError

pytestmark = pytest.mark.integration


def settings_of(load=None, **options):
    session = open_session(pair_model(), OnnxOptions(**options), LoadOptions(**load or {}))
    return session.get_session_options(), session


def test_options__defaults():
    settings, session = settings_of()
    assert settings.intra_op_num_threads == 1
    assert settings.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert settings.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert settings.enable_mem_pattern
    assert settings.enable_cpu_mem_arena
    assert settings.use_per_session_threads
    assert settings.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_options__reach_the_session():
    settings, _ = settings_of(
        intra_op_threads=2,
        inter_op_threads=3,
        execution_mode="parallel",
        optimization_level="basic",
        cpu_memory_arena=False,
        allow_spinning=True,
        session_config={"session.set_denormal_as_zero": "1"},
    )
    assert settings.intra_op_num_threads == 2
    assert settings.inter_op_num_threads == 3
    assert settings.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert settings.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert not settings.enable_mem_pattern, "there is none where operators run side by side"
    assert not settings.enable_cpu_mem_arena
    assert settings.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert settings.get_session_config_entry("session.set_denormal_as_zero") == "1"
    assert not settings_of(memory_pattern=False)[0].enable_mem_pattern


def test_options__the_model_s_own_thread_counts_come_first():
    settings, _ = settings_of(
        {"intra_op_threads": 3, "inter_op_threads": 4}, intra_op_threads=1, inter_op_threads=1
    )
    assert (settings.intra_op_num_threads, settings.inter_op_num_threads) == (3, 4)


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize("arena", [True, False])
@pytest.mark.parametrize("level", ["disabled", "basic", "extended", "layout", "all"])
def test_options__no_combination_changes_the_answer(load, mode, arena, level):
    loaded = load(
        mlp_model(),
        execution_mode=mode,
        cpu_memory_arena=arena,
        memory_pattern=arena,
        optimization_level=level,
        intra_op_threads=2,
    )
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    reference = load(mlp_model()).run(x=x)["y"]
    np.testing.assert_allclose(loaded.run(x=x)["y"], reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["CPUExecutionProvider", "cpu", "CPU", "cpuexecutionprovider"])
def test_providers__by_full_or_short_name(name):
    assert settings_of(providers=(name,))[1].get_providers() == ["CPUExecutionProvider"]


def test_providers__take_options():
    provider = ProviderOptions(name="cpu", options={"use_arena": True})
    assert settings_of(providers=(provider,))[1].get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    "options", [{"providers": ("cuda", "cpu")}, {"gpu_ep": "cuda"}, {"gpu_ep": "onednn"}]
)
def test_providers__that_are_not_installed_are_refused_listing_those_that_are(load, options):
    if any("CUDA" in name or "Dnnl" in name for name in ort.get_available_providers()):
        pytest.skip("this onnxruntime has them")
    with pytest.raises(
        ModelLoadError, match=r"expected one of {.*CPUExecutionProvider}.*got '(cuda|onednn)'"
    ):
        load(pair_model(), **options)


def test_providers__twice_is_refused(load):
    with pytest.raises(ModelLoadError, match="CPUExecutionProvider is given twice"):
        load(pair_model(), providers=("cpu", "CPUExecutionProvider"))


def test_providers__that_cannot_start_are_refused(load, monkeypatch):
    """ONNX Runtime goes on with the CPU when a provider does not start; a host must not."""
    monkeypatch.setattr(ort.InferenceSession, "get_providers", lambda self: [])
    with pytest.raises(ModelLoadError, match="CPUExecutionProvider is installed but could not be started"):
        load(pair_model())


def test_providers__list_overrides_gpu_ep():
    assert settings_of(providers=("cpu",), gpu_ep="cuda")[1].get_providers() == ["CPUExecutionProvider"]


def test_profiling__is_written_when_closed(load, tmp_path):
    loaded = load(fixed_model(), profiling=str(tmp_path / "profile"))
    loaded.run(x=np.ones((2, 3), np.float32))
    loaded.servable.close()
    loaded.servable.close()
    [path] = tmp_path.glob("profile*.json")
    events = json.loads(path.read_text())
    assert any("Add" in event["name"] or event.get("args", {}).get("op_name") == "Add" for event in events)


def test_run_config__reaches_every_run(load):
    loaded = load(fixed_model(), run_config={"memory.enable_memory_arena_shrinkage": "cpu:0"})
    x = np.ones((2, 3), np.float32)
    assert (loaded.run(x=x)["y"] == 2).all()


def custom_operator():
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y"))
    return build([helper.make_node("NoSuchOperator", ["x"], ["y"])], [x], [y])


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (b"", "it is empty"),
        (b"garbage", "expected an ONNX model, but"),
        (pair_model()[:-9], "expected an ONNX model, but"),
        (b"\x08\x0a", "it holds no graph"),
        (custom_operator(), "NoSuchOperator"),
        (build([], [], [], opset=99), "Opset 99 is under development"),
        (build([], [], [], ir_version=99), "Unsupported model IR version: 99"),
    ],
    ids=["empty", "garbage", "truncated", "no graph", "operator", "opset", "ir version"],
)
def test_load__failures_say_why(load, model, why):
    with pytest.raises(ModelLoadError, match=why) as caught:
        load(model)
    text = str(caught.value)
    assert text.startswith("model 'model' version 1: model.onnx: ")
    assert "onnxruntime_src" not in text
    assert (caught.value.model, caught.value.version) == ("model", 1)


def test_load__a_missing_file_and_a_folder_in_its_place(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    for path, why in ((tmp_path, "is a directory"), (tmp_path / "gone.onnx", "no such file")):
        with pytest.raises(ModelLoadError, match=why):
            OnnxRuntime().load(Artifact(name="m", version=1, path=path), LoadOptions())


def test_load__the_error_names_no_directory(tmp_path):
    with pytest.raises(ModelLoadError) as caught:
        OnnxRuntime().load(store(custom_operator(), tmp_path), LoadOptions())
    assert str(tmp_path) not in str(caught.value)


def test_load__prints_nothing(load, capfd):
    loaded = load(mlp_model(), execution_mode="parallel", intra_op_threads=2)
    loaded.run(x=np.ones((1, 16), np.float32))
    with pytest.raises(ModelLoadError):
        load(custom_operator())
    assert capfd.readouterr() == ("", "")


def test_close__gives_the_memory_back(load):
    """Forty sessions of 8 MB, one after the other, take the room of a few."""
    model = mlp_model((512, 2048, 512))

    def resident_bytes():
        with open("/proc/self/statm") as statm:  # noqa: PTH123 - not a file that lies somewhere
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    artifact = Artifact(name="m", version=1, files={"model.onnx": model})

    def once():
        servable = OnnxRuntime().load(artifact, LoadOptions())
        servable.close()

    for _ in range(3):
        once()
    before = resident_bytes()
    for _ in range(40):
        once()
    assert resident_bytes() - before < 6 * len(model)


POOL = """
import sys
import numpy as np
from navi_core import LoadOptions, ModelLoadError
from navi_core.testing.run_context import SimpleRunContext
from navi_onnx.options import OnnxOptions, ThreadPoolOptions
from navi_onnx.runtime import OnnxRuntime
from navi_onnx.testing import mlp_model
from navi_core import Artifact
import os

artifact = Artifact(name="m", version=1, files={"model.onnx": mlp_model()})

def load(intra, inter=1, **load):
    pool = ThreadPoolOptions(intra_op_threads=intra, inter_op_threads=inter)
    return OnnxRuntime().load(artifact, LoadOptions(options=OnnxOptions(global_thread_pool=pool), **load))

own = OnnxRuntime().load(artifact, LoadOptions())  # a session of its own pool before it is no hindrance
before = len(os.listdir("/proc/self/task"))
servables = [load(3, intra_op_threads=8) for _ in range(6)]
threads = len(os.listdir("/proc/self/task")) - before
x = np.ones((2, 16), np.float32)
for servable in [own, *servables]:
    servable.run("serving_default", {"x": x}, ["y"], SimpleRunContext())
try:
    load(4)
except ModelLoadError as error:
    print(threads, error)
"""


def test_global_thread_pool__is_shared_and_made_once():
    done = subprocess.run(
        [sys.executable, "-c", POOL], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    threads, text = done.stdout.split(" ", 1)
    assert int(threads) <= 3, "six sessions share the pool"
    assert "expected the sizes that this process's pool was made with (intra 3, inter 1), got intra 4" in text
    assert done.stderr == ""
