"""Mutated requests beside a guard page: the compiled kernels survive them, and whoever would not is found out."""

from __future__ import annotations

import base64
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

MODULES = ("guard", "guarded", "layouts", "mutations", "outcomes", "corpus", "child")
FOLDER = Path(__file__).resolve().parents[3] / "fuzz" / "dr_transform"

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the fuzz folder is not beside this plugin"),
    pytest.mark.skipif(sys.platform != "linux", reason="guard pages are made as on Linux"),
]


@pytest.fixture(scope="module")
def fuzz():
    """Return the modules of the fuzz folder."""
    taken = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: __import__(name) for name in MODULES}, main=_main())
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(taken)


def _main():
    import importlib.util

    spec = importlib.util.spec_from_file_location("fuzz_dr_transform", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(*arguments, **environ):
    kept = {key: value for key, value in os.environ.items() if key != "NUMBA_DISABLE_JIT"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**kept, **environ},
        check=False,
    )


@pytest.mark.slow
def test_mutations_neither_crash_nor_hang_and_the_twin_agrees():
    ended = python(FOLDER, "--mutations", 10_000, "--compare-every", 50)
    assert ended.returncode == 0, ended.stderr
    assert "10000 requests, seed 0: no crash, no hang" in ended.stdout
    assert "the plain twin gives the same rows" in ended.stdout


def test_mutations_are_those_of_their_seed_and_of_many_kinds(fuzz):
    corpus = [bytes(range(200)), b"\x0f\0\1\x0c\0\0\0\0\0"]

    def some(seed):
        source = random.Random(seed)
        return [bytes(fuzz.mutations.mutate(source, corpus)) for _ in range(300)]

    assert some("a") == some("a") != some("b")
    assert len(set(some("a"))) > 150


def test_the_corpus_is_read_in_every_way(fuzz):
    corpus = fuzz.corpus.read_corpus()
    assert len(corpus) > 50
    for target in fuzz.layouts.targets():
        became = {fuzz.outcomes.outcome(target.decoder, request) for request in corpus[:60]}
        assert len(became) > 3, target.name


# --- what would happen if --------------------------------------------------------------------------------------

DIES = """
import ctypes, os, sys
from child import HEADER
from guard import PAGE, Guarded
file = os.open(sys.argv[1], os.O_RDWR)
os.ftruncate(file, 2 * PAGE)
header, region = Guarded(PAGE, file, 0).first(HEADER.size), Guarded(PAGE, file, PAGE)
region.{place}(5)[:] = b"bytes"
HEADER.pack_into(header, 0, {number}, 5, 2, {number})
print(ctypes.c_ubyte.from_address(region.address + region.size - 1).value)
{then}
"""


@pytest.mark.parametrize(
    ("place", "then", "words"),
    [
        ("last", "ctypes.c_ubyte.from_address(region.address + region.size).value", "killed by SIGSEGV"),
        ("first", "ctypes.c_ubyte.from_address(region.address - 1).value", "killed by SIGSEGV"),
        ("first", "import time; time.sleep(60)", "a hang"),
        ("last", "raise ValueError", "an exception"),
    ],
)
def test_what_ends_the_child_is_reported_with_its_request(fuzz, monkeypatch, tmp_path, place, then, words):
    monkeypatch.setenv("PYTHONPATH", f"{FOLDER}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    shared = tmp_path / "shared"
    shared.touch()
    number = {"first": 41, "last": 42}[place]
    assert fuzz.child.is_first(number) == (place == "first")
    dies = DIES.replace("{place}", place).replace("{number}", str(number)).replace("{then}", then)
    command = [sys.executable, "-c", dies, str(shared)]
    hang_s = 2 if words == "a hang" else 60
    said = fuzz.main.watch(command, shared, hang_s)
    assert said == f"request {number}, target 2: {words}\n{base64.b64encode(b'bytes').decode()}"


@pytest.mark.parametrize(("place", "outside"), [("last", 10), ("first", -1)])
def test_a_compiled_read_outside_dies(place, outside):
    script = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
        "import numba\n"
        "from guard import Guarded\n"
        "from navi_dr_transform._accelerate import INT, PAYLOAD, entry_point\n"
        "from navi_dr_transform._memory import read_u8\n"
        "@numba.njit(INT(PAYLOAD, INT))\n"
        "def byte(payload, at): return read_u8(payload, at)\n"
        f"payload = Guarded(10).{place}(10)\n"
        "payload[0] = payload[9] = 7\n"
        "print(entry_point(byte)(payload, 0), entry_point(byte)(payload, 9), flush=True)\n"
        f"entry_point(byte)(payload, {outside})\n"
    )
    ended = python("-c", script)
    assert ended.stdout == "7 7\n", ended.stderr
    assert ended.returncode == -11


@pytest.mark.slow
def test_a_twin_that_differs_is_a_failure(fuzz, tmp_path):
    request = fuzz.corpus.read_corpus()[1]
    became = fuzz.outcomes.outcome(fuzz.layouts.targets()[0].decoder, request)
    samples = tmp_path / "samples"

    def ask(outcome):
        samples.write_bytes(fuzz.child.SAMPLE.pack(len(request), 0, 0, 0, -1, outcome) + request)
        return python(FOLDER / "twin.py", samples, NUMBA_DISABLE_JIT="1")

    assert ask(became).returncode == 0
    ended = ask(bytes(12))
    assert ended.returncode == 1
    assert base64.b64encode(request).decode() in ended.stderr
    assert python(FOLDER / "twin.py", samples).returncode == 1  # compiled: nothing to compare with
