"""Where compiled kernels are kept, what is known of them without Numba, and who compiles."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import navi_dr_transform
import pytest
from navi_dr_transform import kernel_cache
from navi_dr_transform.kernel_cache import (
    CacheState,
    cache_directory,
    cache_state,
    compiling_alone,
    is_stamped,
    kernel_files,
    kernel_names,
    set_stamp,
)

PACKAGE = Path(navi_dr_transform.__file__).parent


@pytest.fixture(autouse=True)
def no_cache_variables(monkeypatch):
    for name in ("NAVI_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


# --- place ------------------------------------------------------------------------------------------------


def test_the_cache_lies_where_navi_is_told_first(monkeypatch, tmp_path):
    monkeypatch.setenv("NAVI_CACHE_DIR", str(tmp_path / "navi"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    places = [cache_directory()]
    monkeypatch.delenv("NAVI_CACHE_DIR")
    places.append(cache_directory())
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    places.append(cache_directory())
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification says: ignored
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places.append(cache_directory())
    name = places[0].name
    assert name.startswith("navi_dr_transform-")
    assert places == [
        tmp_path / "navi" / "kernels" / name,
        tmp_path / "numba" / "kernels" / name,
        tmp_path / "xdg" / "navi" / "kernels" / name,
        tmp_path / "home" / ".cache" / "navi" / "kernels" / name,
    ]
    assert all(place.stat().st_mode & 0o022 == 0 for place in places)


def test_where_nothing_can_be_written_there_is_no_cache(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAVI_CACHE_DIR", str(tmp_path / "file"))
    assert cache_directory() is None
    assert str(cache_state()).startswith("cold: there is no directory for it ")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777])
@pytest.mark.parametrize("level", range(4))
def test_a_directory_that_others_can_write_to_is_not_used(monkeypatch, tmp_path, mode, level):
    monkeypatch.setenv("NAVI_CACHE_DIR", str(tmp_path / "above" / "cache"))
    directory = cache_directory()
    (directory, *directory.parents)[level].chmod(mode)
    if level > 0 and mode & 0o1000:  # as /tmp: nobody can touch what another owns
        assert cache_directory() == directory
        return
    assert cache_directory() is None
    assert str(cache_state()) == (
        "cold: there is no directory for it that others cannot write to, kernels are compiled in every process"
    )


def test_nothing_is_made_where_others_could_replace_it(monkeypatch, tmp_path):
    tmp_path.chmod(0o777)
    monkeypatch.setenv("NAVI_CACHE_DIR", str(tmp_path / "cache"))
    assert cache_directory() is None
    assert list(tmp_path.iterdir()) == []


def test_a_link_does_not_hide_who_can_write(monkeypatch, tmp_path):
    open_to_all, own = tmp_path / "open", tmp_path / "own"
    open_to_all.mkdir()
    own.mkdir()
    (own / "there").symlink_to(open_to_all)
    (open_to_all / "here").symlink_to(own)
    open_to_all.chmod(0o777)
    for link in (own / "there" / "cache", open_to_all / "here" / "cache"):
        monkeypatch.setenv("NAVI_CACHE_DIR", str(link))
        assert cache_directory() is None


def test_a_directory_of_another_user_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("NAVI_CACHE_DIR", str(tmp_path))
    mine = cache_directory()
    owner = mine.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    # root's may be read by anybody: so images are built
    assert cache_directory() == (mine if owner == 0 else None)
    if owner == 0:
        os.chown(mine, 12345, -1)
        assert cache_directory() is None


def test_what_is_made_is_safe_whatever_the_umask(monkeypatch, tmp_path):
    monkeypatch.setenv("NAVI_CACHE_DIR", str(tmp_path / "a" / "b"))
    before = os.umask(0)
    try:
        directory = cache_directory()
    finally:
        os.umask(before)
    assert directory is not None
    assert cache_directory() == directory


def test_to_ask_makes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("NAVI_CACHE_DIR", str(tmp_path / "there"))
    state = cache_state()
    assert not state.is_warm
    assert state.missing == state.kernels == kernel_names()
    assert not (tmp_path / "there").exists()


# --- what is compiled -----------------------------------------------------------------------------------------


def test_kernel_names_are_those_of_the_decorated_functions():
    decorated = [
        f"{'.'.join(path.relative_to(PACKAGE).with_suffix('').parts)}.{node.name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "_generated" not in path.parts
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any(
            isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "kernel"
            for each in node.decorator_list
        )
    ]
    assert sorted(kernel_names()) == sorted(decorated)
    assert "_kernels.fill" in decorated


def test_everything_that_kernel_files_import_is_in_the_digest():
    keyed = set(kernel_files())
    allowed = keyed | {PACKAGE / "kernel_cache.py"}  # says where compiled code lies, not what it does
    for path in keyed:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(
                "navi_dr_transform"
            ):
                continue
            inner = node.module.split(".")[1:]
            names = [inner] if inner else [[alias.name] for alias in node.names]
            for parts in names:
                assert PACKAGE.joinpath(*parts).with_suffix(".py") in allowed, f"{path.name} imports {parts}"


def test_a_change_of_a_kernel_file_is_another_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("NAVI_CACHE_DIR", str(tmp_path))
    before = cache_directory()
    changed = tmp_path / "_kernels.py"
    changed.write_text((PACKAGE / "_kernels.py").read_text() + "\n# other\n")
    files = [changed if path.name == changed.name else path for path in kernel_files()]
    monkeypatch.setattr(kernel_cache, "kernel_files", lambda: files)
    assert cache_directory() != before


def test_a_stamp_counts_for_this_target_and_while_the_code_is_there(monkeypatch, tmp_path):
    set_stamp(tmp_path, "_kernels.fill")
    assert not is_stamped(tmp_path, "_kernels.fill")
    (tmp_path / "_kernels.fill-kernel.py311.1.nbc").touch()
    assert is_stamped(tmp_path, "_kernels.fill")
    assert not is_stamped(tmp_path, "_kernels.measure")
    monkeypatch.setattr(kernel_cache, "_target", lambda: "another")
    assert not is_stamped(tmp_path, "_kernels.fill")


def test_state_in_words(tmp_path):
    names = ("a.x", "b.y")
    assert CacheState(tmp_path, names, ()).is_warm
    assert str(CacheState(tmp_path, names, ())) == f"warm: 2 kernels in {tmp_path}"
    assert str(CacheState(tmp_path, names, names)) == f"cold: nothing is compiled in {tmp_path}"
    assert str(CacheState(tmp_path, names, ("a.x",))) == f"cold: 1 of 2 kernels are missing in {tmp_path}"


# --- the lock --------------------------------------------------------------------------------------------------


HOLD = """
import sys
from pathlib import Path
from navi_dr_transform.kernel_cache import compiling_alone
with compiling_alone(Path(sys.argv[1])) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_whoever_waits_too_long_goes_on_without(tmp_path, holder):
    with compiling_alone(tmp_path, timeout_s=0.2) as held:
        assert not held


def test_the_next_one_has_the_lock_when_it_is_left(tmp_path, holder):
    holder.stdin.close()
    with compiling_alone(tmp_path, timeout_s=60) as held:
        assert held
    assert holder.wait(60) == 0


def test_a_process_that_is_killed_holds_nothing(tmp_path, holder):
    holder.kill()
    with compiling_alone(tmp_path, timeout_s=60) as held:
        assert held


def test_a_directory_without_a_lock_is_no_obstacle(tmp_path):
    with compiling_alone(tmp_path / "absent") as held:
        assert not held


# --- in processes -------------------------------------------------------------------------------------------------

LOAD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from numba import int64
from package._tiny import plus
from navi_dr_transform import kernel_cache
from navi_dr_transform._disk_cache import compile_or_load
directory = Path(sys.argv[2])
assert compile_or_load(plus, int64(int64, int64), directory)(20, 22) == 42
assert kernel_cache.is_stamped(directory, "_tiny.plus") == (sys.argv[3] == "stamped")
print(kernel_cache.loaded_kernels[0].was_cached)
"""


@pytest.fixture
def load(tmp_path):
    """Load a kernel of a package in processes of their own, all started before the first is waited for."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "_tiny.py").write_text("def plus(a, b):\n    return a + b\n")
    kept = {key: value for key, value in os.environ.items() if key != "NUMBA_DISABLE_JIT"}

    def run(directory, number=1, *, stamped=True):
        command = [sys.executable, "-c", LOAD, str(tmp_path), str(directory), "stamped" if stamped else "not"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, env=kept, **pipes) for _ in range(number)]
        said = [process.communicate(timeout=240) for process in processes]
        assert [process.returncode for process in processes] == [0] * number, said
        return sorted(out.strip() for out, _ in said)

    return run


@pytest.mark.slow
def test_workers_that_start_together_compile_once(load, tmp_path):
    (tmp_path / "cache").mkdir()
    assert load(tmp_path / "cache", 3) == ["False", "True", "True"]


@pytest.mark.slow
def test_a_cache_that_was_moved_and_cannot_be_written_to_is_read(load, tmp_path):
    built = tmp_path / "built" / "kernels"
    built.mkdir(parents=True)
    load(built)
    moved = built.parent.rename(tmp_path / "moved") / "kernels"
    for path in (*moved.iterdir(), moved):
        path.chmod(0o444 if path.is_file() else 0o555)
    try:
        assert load(moved) == ["True"]
    finally:
        moved.chmod(0o755)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_to_stops_nobody(load, tmp_path):
    (tmp_path / "file").touch()
    assert load(tmp_path / "file", stamped=False) == ["False"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".nbc", ".nbi"])
def test_a_damaged_cache_is_mended(load, tmp_path, suffix):
    cache = tmp_path / "cache"
    cache.mkdir()
    load(cache)
    (damaged,) = cache.glob(f"*{suffix}")
    damaged.write_bytes(damaged.read_bytes()[:50])
    assert load(cache) == ["False"]
    assert load(cache) == ["True"]
