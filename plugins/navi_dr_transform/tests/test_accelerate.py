"""Kernels are compiled once and then loaded; or not at all, and give the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from navi_dr_transform import _accelerate
from navi_dr_transform.kernel_cache import kernel_names

LOAD = """
import sys
import navi_dr_transform._kernels as kernels
from navi_dr_transform._accelerate import JIT
stats = kernels.measure.stats if JIT else None
print(JIT, sum(stats.cache_hits.values()) if JIT else 0, kernels.measure(bytes([15, 0, 1, 12, 0, 0, 0, 0, 0]), *ARGS)[0])
print("numba.np.linalg" in sys.modules)
""".replace("*ARGS", "0, *[__import__('numpy').zeros(2**14, 'i8')] * 2")


def load(**environment):
    clean = {
        key: value
        for key, value in os.environ.items()
        if key not in ("NAVI_CACHE_DIR", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")
    }
    result = subprocess.run(
        [sys.executable, "-c", LOAD],
        capture_output=True,
        text=True,
        timeout=240,
        env={**clean, **environment},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def compiled(folder):
    return sorted(path.suffix for path in Path(folder).rglob("*.nb?"))


@pytest.mark.slow
@pytest.mark.skipif(not _accelerate.JIT, reason="nothing is compiled")
def test_kernels_are_compiled_once_and_then_loaded(tmp_path):
    before = set(Path(_accelerate.__file__).parent.rglob("*.nb?"))
    assert load(NAVI_CACHE_DIR=str(tmp_path)) == ["True", "0", "0", "True"]
    # an index and the code of each kernel that is called from outside
    modules = [name for name in kernel_names() if name.startswith("_kernels.")]
    assert compiled(tmp_path) == [".nbc"] * len(modules) + [".nbi"] * len(modules)
    # what Numba imports to compile, SciPy with it, is not needed any more
    assert load(NAVI_CACHE_DIR=str(tmp_path)) == ["True", "1", "0", "False"]
    assert set(Path(_accelerate.__file__).parent.rglob("*.nb?")) == before


@pytest.mark.slow
def test_kernels_are_compiled_anew_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert load(NAVI_CACHE_DIR=str(tmp_path / "file"))[1:] == ["0", "0", "True"]


def test_without_jit_kernels_are_plain_python(tmp_path):
    assert load(NUMBA_DISABLE_JIT="1", NAVI_CACHE_DIR=str(tmp_path)) == ["False", "0", "0", "False"]
    assert compiled(tmp_path) == []
