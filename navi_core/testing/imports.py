"""What importing a module brings along, asked in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

__all__ = ["assert_import_light"]

_PROGRAM = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(",".join(name for name in sys.argv[2:] if name in sys.modules))
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
    result = subprocess.run(  # noqa: S603 - this interpreter, arguments of the test's own
        [sys.executable, "-c", _PROGRAM, module, *heavy_modules],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if result.returncode:
        last_line = (result.stderr.strip().splitlines() or ["no output"])[-1]
        msg = f"import of '{module}' failed: {last_line}"
        raise AssertionError(msg)
    imported = result.stdout.strip()
    if imported:
        msg = f"importing '{module}' must not import {imported}"
        raise AssertionError(msg)
