"""The paths of the REST API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

__all__ = [
    "CONFIG",
    "INDEX",
    "INFER",
    "LIVE",
    "METADATA",
    "MODELS",
    "MODEL_READY",
    "READY",
    "REPOSITORY_LOAD",
    "REPOSITORY_UNLOAD",
    "SERVER",
    "STATISTICS",
    "target_of",
]

_MODEL: Final = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?"
_REPOSITORY: Final = r"/v2/repository/models/(?P<model>[^/]+)"

SERVER: Final = re.compile("/v2/?")
LIVE: Final = re.compile("/v2/health/live")
READY: Final = re.compile("/v2/health/ready")
MODELS: Final = re.compile("/v2/models")
METADATA: Final = re.compile(_MODEL)
MODEL_READY: Final = re.compile(f"{_MODEL}/ready")
INFER: Final = re.compile(f"{_MODEL}/infer")
CONFIG: Final = re.compile(f"{_MODEL}/config")
STATISTICS: Final = re.compile(f"(?:/v2/models|{_MODEL})/stats")
INDEX: Final = re.compile("/v2/repository/index")
REPOSITORY_LOAD: Final = re.compile(f"{_REPOSITORY}/load")
REPOSITORY_UNLOAD: Final = re.compile(f"{_REPOSITORY}/unload")


def target_of(match: Mapping[str, str]) -> tuple[str, str]:
    """Return the model and version that a path names; empty where it names none."""
    return _target(match.get("model", ""), match.get("version", ""))


@lru_cache(maxsize=256)
def _target(model: str, version: str) -> tuple[str, str]:
    """Decode a path's parts: the same few over and over."""
    return unquote(model, errors="replace"), unquote(version, errors="replace")
