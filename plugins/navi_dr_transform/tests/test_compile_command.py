"""``navi-host compile``: fills the cache that hosts look into, and says so; ``navi-host plugins`` sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from navi_dr_transform.kernel_cache import kernel_names


def navi_host(*arguments, **environment):
    hidden = ("NUMBA_DISABLE_JIT", "NAVI_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return subprocess.run(
        [sys.executable, "-m", "navi_core", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env={**kept, "NO_COLOR": "1", **environment},
        check=False,
    )


def status(**environment):
    rows = json.loads(navi_host("plugins", "--json", **environment).stdout)
    return [row["reason"] for row in rows if (row["kind"], row["name"]) == ("status", "kernel_cache")]


@pytest.mark.slow
def test_what_is_compiled_is_there_for_hosts_and_said_to_be(tmp_path):
    cache = tmp_path / "cache"
    (before,) = status(NAVI_CACHE_DIR=str(cache))
    assert before.startswith("cold: nothing is compiled in ")
    first = navi_host("compile", "--cache-dir", str(cache), "--json")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert said["directory"].startswith(str(cache / "kernels"))
    assert sorted(each["name"] for each in said["kernels"]) == sorted(kernel_names())
    assert not any(each["was_cached"] for each in said["kernels"])
    (after,) = status(NAVI_CACHE_DIR=str(cache))
    assert after == f"warm: {len(kernel_names())} kernels in {said['directory']}"
    again = navi_host("compile", NAVI_CACHE_DIR=str(cache))
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("was there") == len(kernel_names())
    assert said["directory"] in again.stdout


def test_a_place_that_keeps_nothing_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    ended = navi_host("compile", NAVI_CACHE_DIR=str(tmp_path / "file"))
    assert ended.returncode != 0
    assert "expected a directory to keep compiled kernels in" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_the_compiler_there_is_nothing_to_compile():
    ended = navi_host("compile", NUMBA_DISABLE_JIT="1")
    assert ended.returncode != 0
    assert "NUMBA_DISABLE_JIT" in ended.stderr
