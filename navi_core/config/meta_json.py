"""Navi's ``META.json``: pins of versions and thread counts, beside the model directories.

An object of model name -> object. The file belongs to whoever syncs models, is written while the host
reads it, and is read at every look; so nothing in it is an error: what is missing or bad counts as not
said, and is logged once until it changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

__all__ = ["MetaJson", "ModelMeta", "parse_meta_json"]

_log = structlog.get_logger("navi.meta_json")

_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_MAX_THREADS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMeta:
    """What ``META.json`` says about one model.

    Parameters
    ----------
    version
        The text of the pinned version (an integer or an RFC 3339 time); None: not pinned.
    intra_op_threads, inter_op_threads
        Thread counts; None: not said.
    """

    version: str | None = None
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None


class MetaJson:
    """Reads one ``META.json`` again and again.

    Parameters
    ----------
    path
        Where it is; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._last = ("", "")

    def read(self) -> Mapping[str, ModelMeta]:
        """Return model name -> what is said about it; empty where the file is missing or bad.

        Blocking: for a thread.
        """
        try:
            with self._path.open("rb") as stream:
                content = stream.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            if self._is_news("meta_json_missing", ""):
                _log.debug("meta_json_missing", path=str(self._path))
            return {}
        except OSError as error:
            problem = error.strerror or str(error)
            if self._is_news("meta_json_unreadable", problem):
                _log.warning("meta_json_unreadable", path=str(self._path), problem=problem)
            return {}
        metas, problems = parse_meta_json(content)
        if self._is_news("meta_json_bad" if problems else "", "; ".join(problems)) and problems:
            _log.warning("meta_json_bad", path=str(self._path), problems=problems)
        return metas

    def _is_news(self, event: str, problem: str) -> bool:
        """Tell whether this look ended otherwise than the last one."""
        before, self._last = self._last, (event, problem)
        return self._last != before


def parse_meta_json(content: bytes) -> tuple[Mapping[str, ModelMeta], tuple[str, ...]]:
    """Return what the file says, and what is bad in it.

    Parameters
    ----------
    content
        The whole file.

    Returns
    -------
    metas, problems
        Model name -> what is said about it; texts for the log.
    """
    if len(content) > _MAX_FILE_BYTES:
        return {}, (f"expected at most {_MAX_FILE_BYTES} bytes, got more",)
    try:
        root = json.loads(content)
    except (ValueError, RecursionError) as error:
        return {}, (f"invalid JSON: {error}",)
    if not isinstance(root, dict):
        return {}, (f"expected an object at the top, got {_kind(root)}",)
    metas: dict[str, ModelMeta] = {}
    problems: list[str] = []
    for name, item in root.items():
        if not isinstance(item, dict):
            problems.append(f"{name}: expected an object, got {_kind(item)}")
            continue
        metas[name] = ModelMeta(
            version=_text(item, "version", name, problems),
            intra_op_threads=_threads(item, "intra_op_parallelism", name, problems),
            inter_op_threads=_threads(item, "inter_op_parallelism", name, problems),
        )
    return metas, tuple(problems)


def _text(item: Mapping[str, object], key: str, model: str, problems: list[str]) -> str | None:
    """Return a string, or a number's text; None for anything else, as in Navi."""
    value = item.get(key)
    if isinstance(value, str):
        return value or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if key in item:
        problems.append(f"{model}.{key}: expected a string or a number, got {_kind(value)}")
    return None


def _threads(item: Mapping[str, object], key: str, model: str, problems: list[str]) -> int | None:
    text = _text(item, key, model, problems)
    if text is None:
        return None
    try:
        count = int(text)
    except ValueError:
        count = -1
    if not 0 <= count <= _MAX_THREADS:
        problems.append(f"{model}.{key}: expected an integer from 0 to {_MAX_THREADS}, got {text[:40]!r}")
        return None
    return count


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
