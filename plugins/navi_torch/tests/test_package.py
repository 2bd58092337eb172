"""AOTInductor packages. One is compiled for all of these tests, which takes its while."""

from __future__ import annotations

import gc
import io
import json
import shutil
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from navi_torch.native import RUNNERS
from navi_torch.testing import store

from navi_core import Artifact, DType, ModelLoadError, NaviError, TensorMismatchError

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

COMPILE = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
from torch import nn
from navi_torch.testing import Mlp

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Mlp()
    def forward(self, x, *, mask):
        scores = self.inner(x) * mask
        return {"scores": scores, "best": scores.argmax(1)}

rows = torch.export.Dim("rows", max=64)
module = Masked().eval()
program = torch.export.export(
    module, (torch.zeros(5, 16),), {"mask": torch.zeros(5, 4)}, dynamic_shapes={"x": {0: rows}, "mask": {0: rows}}
)
torch.export.save(program, sys.argv[1] + "/program.pt2")
torch._inductor.aoti_compile_and_package(
    program,
    package_path=sys.argv[1] + "/package.pt2",
    # most of the time goes into the optimisation of what calls the kernels
    inductor_configs={"aot_inductor.compile_wrapper_opt_level": "O0"},
)
torch.manual_seed(0)
x, mask = torch.randn(7, 16), torch.randn(7, 4)
with torch.inference_mode():
    torch.save({"x": x, "mask": mask, **module(x, mask=mask)}, sys.argv[1] + "/values.pt")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The package, the program that it was compiled from, and values that torch itself computed."""
    if shutil.which("g++") is None:
        pytest.skip("AOTInductor compiles with g++, which is not here")
    folder = tmp_path_factory.mktemp("compiled")
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(folder)], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    import torch

    values = {name: tensor.numpy() for name, tensor in torch.load(folder / "values.pt").items()}
    return SimpleNamespace(
        package=(folder / "package.pt2").read_bytes(),
        program=(folder / "program.pt2").read_bytes(),
        values=values,
    )


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


def archive(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as written:
        for name, content in files.items():
            written.writestr(f"model/{name}", content)
    return target.getvalue()


def without_source(content: bytes) -> bytes:
    return archive({name: each for name, each in members(content).items() if not name.endswith(".cpp")})


SAID = {"x": {"dtype": "float32", "shape": [-1, 16]}, "mask": {"dtype": "float32", "shape": [-1, 4]}}


def check(loaded, values, first="x", model="serving_default"):
    got = loaded.run(method=model, **{first: values["x"], "mask": values["mask"]})
    np.testing.assert_allclose(got["scores"], values["scores"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got["best"], values["best"])


def test_signature__is_read_from_the_generated_source(load, made):
    loaded = load(made.package)
    rows = loaded.signature.inputs["mask"].shape[0]
    assert isinstance(rows, str)
    assert {name: (spec.dtype, spec.shape) for name, spec in loaded.signature.inputs.items()} == {
        "input_0": (DType.FLOAT32, (rows, 16)),
        "mask": (DType.FLOAT32, (rows, 4)),
    }
    assert {name: (spec.dtype, spec.shape) for name, spec in loaded.signature.outputs.items()} == {
        "scores": (DType.FLOAT32, (rows, 4)),
        "best": (DType.INT64, (rows,)),
    }
    assert loaded.signature.batchable
    assert loaded.signature.max_rows == 64
    assert any("generated C++ source" in note for note in loaded.servable.notes)
    check(loaded, made.values, "input_0")


@pytest.mark.parametrize("runner", ["native", "loader"])
def test_run__gives_torch_s_own_answers(load, made, runner):
    loaded = load(made.package, inputs=SAID, aotinductor_runner=runner)
    check(loaded, made.values)
    for rows in (0, 1, 64):
        x, mask = np.zeros((rows, 16), np.float32), np.zeros((rows, 4), np.float32)
        assert loaded.run(x=x, mask=mask)["scores"].shape == (rows, 4)
    is_native = runner == "native"
    assert loaded.servable.max_concurrent_runs == (RUNNERS if is_native else 1)
    assert any("interpreter's lock" in note for note in loaded.servable.notes) is not is_native


@pytest.mark.parametrize("runner", ["native", "loader"])
def test_run__sizes_that_the_library_does_not_check_are_checked(load, made, runner):
    loaded = load(made.package, inputs=SAID, aotinductor_runner=runner)
    x, mask = np.zeros((65, 16), np.float32), np.zeros((65, 4), np.float32)
    with pytest.raises(
        TensorMismatchError, match="input 'x': expected size of dimension 0 at most 64, got 65"
    ):
        loaded.run(x=x, mask=mask)
    with pytest.raises(
        TensorMismatchError, match="expected size of dimension 0 5 as in dimension 0 of 'x', got 4"
    ):
        loaded.run(x=x[:5], mask=mask[:4])
    check(loaded, made.values)


def test_run__without_source_rows_are_equal_unless_they_have_names_of_their_own(load, made):
    """The library would read past the end of the shorter input."""
    loaded = load(without_source(made.package), inputs=SAID)
    x, mask = np.zeros((5, 16), np.float32), np.zeros((4, 4), np.float32)
    with pytest.raises(TensorMismatchError, match="as in dimension 0 of 'x', got 4"):
        loaded.run(x=x, mask=mask)
    named = {"x": {"shape": ["n", 16]}, "mask": {"shape": ["m", 4]}}
    assert not load(without_source(made.package), inputs=named).signature.batchable


def test_signature__without_source_has_to_be_said(load, made):
    stripped = without_source(made.package)
    with pytest.raises(ModelLoadError, match=r"takes 2 tensors .*runtime_options\.inputs\.NAME"):
        load(stripped)
    loaded = load(stripped, inputs=SAID)
    assert loaded.signature.max_rows is None
    check(loaded, made.values)


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": SAID["x"]},
        {"x": {"dtype": "float64", "shape": [-1, 16]}, "mask": SAID["mask"]},
        {"x": {"dtype": "float32", "shape": [-1, 8]}, "mask": SAID["mask"]},
    ],
    ids=["missing", "dtype", "shape"],
)
def test_signature__what_contradicts_the_package_is_refused(load, made, inputs):
    with pytest.raises(ModelLoadError, match=r"expected|takes 2 tensors"):
        load(made.package, inputs=inputs)


def test_signature__comes_from_the_program_where_the_archive_has_it(load, made):
    program = {name: each for name, each in members(made.program).items() if name.startswith("models/")}
    loaded = load(archive({**members(without_source(made.package)), **program}))
    assert list(loaded.signature.inputs) == ["x", "mask"]
    lead = loaded.signature.inputs["x"].shape[0]
    assert isinstance(lead, str)
    assert loaded.signature.outputs["best"].shape == (lead,)
    assert loaded.signature.max_rows == 64
    check(loaded, made.values)
    with pytest.raises(
        TensorMismatchError,
        match="input 'mask': expected size of dimension 0 5 as in dimension 0 of 'x', got 4",
    ):
        loaded.run(x=np.zeros((5, 16), np.float32), mask=np.zeros((4, 4), np.float32))


def test_signature__may_stand_in_the_package(load, made):
    text = "inputs.x = { shape = [-1, 16] }\ninputs.mask = { shape = [-1, 4] }\noutput_names = ['s', 'b']"
    loaded = load(archive({**members(without_source(made.package)), "extra/navi.toml": text.encode()}))
    assert (list(loaded.signature.inputs), list(loaded.signature.outputs)) == (["x", "mask"], ["s", "b"])


def test_archive__other_packages_are_signatures(load, made):
    files = members(made.package)
    other = {name.replace("/model/", "/other/"): each for name, each in files.items() if "/model/" in name}
    loaded = load(archive({**files, **other}), inputs=SAID, methods={"other": {"inputs": SAID}})
    assert list(loaded.servable.signatures) == ["serving_default", "other"]
    check(loaded, made.values, model="other")


def test_load__native_code_from_memory_is_refused(load, made):
    with pytest.raises(ModelLoadError, match="native code, which is loaded from disk only"):
        load(Artifact(name="m", version=1, files={"model.pt2": made.package}))


def test_load__for_another_kind_of_device_is_refused(load, made):
    files = members(made.package)
    for name, content in files.items():
        if name.endswith("wrapper_metadata.json"):
            files[name] = json.dumps({**json.loads(content), "AOTI_DEVICE_KEY": "cuda"}).encode()
    with pytest.raises(ModelLoadError, match="device: the package was compiled for cuda, got 'cpu'"):
        load(archive(files))


def test_load__a_damaged_library_is_refused(load, made):
    files = {
        name: b"no library" if name.endswith(".so") else each for name, each in members(made.package).items()
    }
    with pytest.raises(ModelLoadError) as caught:
        load(archive(files))
    assert "\n" not in str(caught.value)


def long_call(loaded):
    """Return the call itself, without the checks that bound the rows, and arguments for a long run."""
    import torch

    call = loaded.servable._methods["serving_default"].method.call
    return lambda: call([torch.zeros(400_000, 16), torch.zeros(400_000, 4)])


def test_run__the_interpreter_goes_on_meanwhile(load, made):
    """torch's own loader stops it from start to end."""
    call = long_call(load(made.package, inputs=SAID))
    ended = threading.Event()
    worker = threading.Thread(target=lambda: (call(), ended.set()))
    worker.start()
    steps = 0
    while not ended.is_set():
        steps += 1
    worker.join()
    assert steps > 1000


def test_run__threads_side_by_side_get_their_own_answers(load, made):
    loaded = load(made.package, inputs=SAID)

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(50):
            rows = int(random.integers(1, 7))
            start = int(random.integers(0, 7 - rows + 1))
            part = {name: array[start : start + rows] for name, array in made.values.items()}
            check(loaded, part)

    with ThreadPoolExecutor(2 * RUNNERS) as pool:
        list(pool.map(work, range(2 * RUNNERS)))


def test_run__the_library_s_own_refusal_is_a_clean_error(load, made, capfd):
    """Where sizes are not known to anybody, its operators notice some mistakes."""
    any_size = {"x": {"dtype": "float32", "shape": [-1, 16]}, "mask": {"dtype": "float32", "shape": [-1, 4]}}
    loaded = load(without_source(made.package), inputs=any_size)
    with pytest.raises(NaviError) as caught:
        loaded.run(x=np.zeros((5, 8), np.float32), mask=np.zeros((5, 4), np.float32))
    text = str(caught.value)
    assert text.startswith("model 'model': ")
    assert "\n" not in text
    assert "/" not in text.removeprefix("model 'model': ")
    capfd.readouterr()  # the library prints what it says as well
    check(loaded, made.values)


def test_run__of_a_wrong_number_of_tensors_never_reaches_the_library(load, made):
    import torch

    loaded = load(made.package, inputs=SAID)
    call = loaded.servable._methods["serving_default"].method.call
    with pytest.raises(RuntimeError, match="expected 2 tensors, got 1"):
        call([torch.zeros(5, 16)])


def test_memory__loading_again_maps_nothing_new(made, tmp_path):
    from navi_torch.options import TorchOptions
    from navi_torch.runtime import TorchRuntime

    from navi_core import LoadOptions

    def resident_kb():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    artifact = store(made.package, tmp_path / "m", file="model.pt2")

    def once():
        TorchRuntime().load(artifact, LoadOptions(options=TorchOptions())).close()

    for _ in range(5):
        once()
    gc.collect()
    before = resident_kb()
    for _ in range(30):
        once()
    gc.collect()  # what Python has not collected yet is no mapping of the package's
    assert resident_kb() - before < 4096


def test_close__a_run_after_it_is_refused(load, made):
    loaded = load(made.package, inputs=SAID)
    loaded.servable.close()
    loaded.servable.close()
    with pytest.raises(NaviError):
        check(loaded, made.values)
    check(load(made.package, inputs=SAID), made.values)
