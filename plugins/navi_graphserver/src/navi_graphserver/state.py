"""A directory that keeps registered graphs over a restart: ordinary model directories, ``graph-<id>/<version>/graph.fb``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from navi_core import ErrorCode, NaviError
from navi_graphserver.runtime import GRAPH_FILE

__all__ = ["StateDirectory"]


class StateDirectory:
    """Keeps graphs.

    Parameters
    ----------
    directory
        Made when the first graph comes.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory: Final = Path(directory).expanduser()

    def models(self) -> list[Path]:
        """Return the model directories that are there."""
        if not self._directory.is_dir():
            return []
        return sorted(path for path in self._directory.glob("graph-*") if path.is_dir())

    def keep(self, name: str, version: int, content: bytes) -> None:
        """Keep a graph instead of what was kept under its name.

        Raises
        ------
        NaviError
            It cannot be written.
        """
        model = self._directory / name
        target = model / str(version)
        hidden = model / f".{version}"
        try:
            hidden.mkdir(parents=True, exist_ok=True)
            with (hidden / GRAPH_FILE).open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            hidden.replace(target)
            for other in model.iterdir():
                if other != target:
                    shutil.rmtree(other, ignore_errors=True)
        except OSError as error:
            msg = f"the graph is served, but was not kept in '{model}': {error.strerror}"
            raise NaviError(msg, code=ErrorCode.INTERNAL) from error

    def forget(self, name: str) -> None:
        """Forget a graph, if it is there."""
        shutil.rmtree(self._directory / name, ignore_errors=True)
