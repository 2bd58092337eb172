"""Shared libraries with operators, and the number that Navi shows for them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from navi_tf.errors import LoadRefusedError, clean_text
from navi_tf.framework import tf

__all__ = ["VERSION_GAUGE", "load_libraries"]

VERSION_GAUGE: Final = "customop_version"

_LOADED: Final[dict[str, int]] = {}
_LOCK: Final = threading.Lock()


def load_libraries(paths: Sequence[str]) -> int | None:
    """Load libraries into the process; each file once, for good.

    Returns
    -------
    version
        Of the last one: the last four hexadecimal digits of its SHA-256, as Twitter's Navi counts; None: there
        are none.

    Raises
    ------
    LoadRefusedError
        A library is not there, or cannot be loaded.
    """
    version = None
    for path in paths:
        version = _load(path)
    return version


def _load(path: str) -> int:
    name = Path(path).name
    real = os.path.realpath(path)
    with _LOCK:
        if real not in _LOADED:
            try:
                with open(real, "rb") as stream:  # noqa: PTH123 - a real path is a text
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                why = os.strerror(error.errno).lower() if error.errno else "it cannot be read"
                msg = f"custom_op_libraries: {name}: {why}"
                raise LoadRefusedError(msg) from error
            try:
                tf.load_op_library(real)
            except Exception as error:
                hidden = (real, str(Path(real).parent))
                msg = f"custom_op_libraries: {name}: {clean_text(error, hidden, keep_names=True)}"
                raise LoadRefusedError(msg) from error
            _LOADED[real] = int(digest[-4:], 16)
        return _LOADED[real]
