"""A directory that keeps registered graphs over a restart: ordinary model directories, ``graph-<id>/<version>/graph.fb``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from navi_core import ErrorCode, InvalidRequestError, NaviError
from navi_graphserver.naming import check_name, graph_id_of, is_model_name
from navi_graphserver.runtime import GRAPH_FILE

__all__ = ["StateDirectory"]

_NAME_FILE: Final = ".name"


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
        return sorted(
            path for path in self._directory.iterdir() if is_model_name(path.name) and path.is_dir()
        )

    def names(self) -> dict[int, str]:
        """Return the names that graphs were given, by id; what is no name is left out."""
        names: dict[int, str] = {}
        for model in self.models():
            try:
                name = (model / _NAME_FILE).read_text("utf-8").strip()
                check_name(name)
                names[graph_id_of(model.name)] = name
            except (OSError, UnicodeDecodeError, InvalidRequestError):
                continue
        return names

    def keep(self, model: str, version: int, content: bytes, name: str = "") -> None:
        """Keep a graph instead of what was kept of its model.

        Raises
        ------
        NaviError
            It cannot be written.
        """
        folder = self._directory / model
        target = folder / str(version)
        hidden = folder / f".{version}"
        try:
            shutil.rmtree(hidden, ignore_errors=True)
            hidden.mkdir(parents=True)
            _write(hidden / GRAPH_FILE, content)
            if target.is_dir():  # an equal number, of an earlier life: a file takes its file's place at once
                (hidden / GRAPH_FILE).replace(target / GRAPH_FILE)
            else:
                hidden.replace(target)
            if name:
                _write(folder / f"{_NAME_FILE}.new", name.encode())
                (folder / f"{_NAME_FILE}.new").replace(folder / _NAME_FILE)
            for other in folder.iterdir():
                if other.is_dir() and other != target:
                    shutil.rmtree(other, ignore_errors=True)
        except OSError as error:
            msg = f"the graph is served, but was not kept in '{folder}': {error.strerror}"
            raise NaviError(msg, code=ErrorCode.INTERNAL) from error

    def forget(self, model: str) -> None:
        """Forget a graph, if it is there."""
        shutil.rmtree(self._directory / model, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
