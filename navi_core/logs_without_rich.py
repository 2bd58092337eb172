"""Logs for the processes that navi owns: structlog without rich, which takes longer to import than all of structlog.

structlog imports rich, where that is installed, to print tracebacks on terminals with the values of local variables.
A host's locals are its clients' requests, so they are not for the log anyway. A program that serves in process has
structlog as it is. To be imported before anything that imports structlog.
"""

from __future__ import annotations

import importlib
import sys

__all__ = ["configure_logging"]


def _import_structlog() -> None:
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # what import takes for: there is none
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


_import_structlog()

from navi_core.logs import configure_logging  # noqa: E402 - it imports structlog
