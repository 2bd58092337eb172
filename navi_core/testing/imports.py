"""What a plugin's code imports along the way, asked in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["assert_import_light", "assert_recognise_is_light"]

_IMPORT = "import importlib; module = importlib.import_module(sys.argv[2])"
_RECOGNISE = """
import functools, importlib, pathlib
from navi_core.contracts.artifact import Artifact
kind = functools.reduce(getattr, sys.argv[3].split("."), importlib.import_module(sys.argv[2]))
assert kind().recognise(Artifact(name="model", version=1, path=pathlib.Path(sys.argv[4]))), "not recognised"
"""
_REPORT = """
print(",".join(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


def assert_import_light(module: str, heavy_modules: Sequence[str]) -> None:
    """Fail if importing ``module`` imports any of ``heavy_modules``, or fails itself.

    Parameters
    ----------
    module
        A dotted name that can be imported.
    heavy_modules
        Top-level names, such as ``onnxruntime``.

    Raises
    ------
    AssertionError
        Names what was imported, or the last line of the failure.
    """
    _assert_light(_IMPORT, heavy_modules, module, what=f"importing '{module}'")


def assert_recognise_is_light(runtime: type, path: Path, heavy_modules: Sequence[str]) -> None:
    """Fail if ``runtime().recognise`` of an artifact of its own imports any of ``heavy_modules``.

    Parameters
    ----------
    runtime
        A runtime's class, reachable by its module and name.
    path
        An artifact that it recognises.
    heavy_modules
        Top-level names.

    Raises
    ------
    AssertionError
        Names what was imported, or the last line of the failure.
    """
    what = f"{runtime.__qualname__}.recognise"
    _assert_light(_RECOGNISE, heavy_modules, runtime.__module__, runtime.__qualname__, str(path), what=what)


def _assert_light(program: str, heavy_modules: Sequence[str], *arguments: str, what: str) -> None:
    result = subprocess.run(  # noqa: S603 - this interpreter, arguments of the test's own
        [sys.executable, "-c", f"import sys\n{program}\n{_REPORT}", ",".join(heavy_modules), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if result.returncode:
        last_line = (result.stderr.strip().splitlines() or ["no output"])[-1]
        msg = f"{what} failed: {last_line}"
        raise AssertionError(msg)
    imported = result.stdout.strip()
    if imported:
        msg = f"{what} must not import {imported}"
        raise AssertionError(msg)
