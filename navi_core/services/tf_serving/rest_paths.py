"""The paths of the REST API, as TensorFlow Serving matches them.

The query string is part of what is matched. Paths are matched without regard to case, but the verb
(``:predict``) and ``/metadata`` count only as they are written here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from navi_core.errors import InvalidRequestError
from navi_core.messages import ModelRef

__all__ = ["ANY_PATH", "LIST_PATH", "MODEL_PATH", "VERB_PATH", "target_of"]

_CHOICE: Final = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"

VERB_PATH: Final = re.compile(
    rf"/v1/models/(?P<model>[^/:]+){_CHOICE}:(?P<verb>classify|regress|predict)", re.IGNORECASE
)
"""Inference: ``POST``."""

MODEL_PATH: Final = re.compile(
    rf"/v1/models(?:/(?P<model>[^/:]+))?{_CHOICE}(?:/(?P<part>metadata))?", re.IGNORECASE
)
"""Status and metadata: ``GET``."""

LIST_PATH: Final = re.compile("/v1/models/?", re.IGNORECASE)
"""All models: ``GET``; navi's own."""

ANY_PATH: Final = re.compile("/v1/.*", re.IGNORECASE | re.DOTALL)
"""What is under the API's root and matches nothing else."""

_MAX_VERSION: Final = 2**63 - 1


def target_of(match: Mapping[str, str]) -> ModelRef:
    """Return the model and version that a path names.

    Parameters
    ----------
    match
        The groups of a path's pattern, percent-encoded.

    Raises
    ------
    InvalidRequestError
        The path has no model's name, or a version that is no 64-bit number.
    """
    model = match.get("model")
    if not model:
        raise InvalidRequestError("Missing model name in request.")
    return _target(model, match.get("version"), match.get("label"))


@lru_cache(maxsize=256)
def _target(model: str, digits: str | None, label: str | None) -> ModelRef:
    """Decode a path's parts: the same few over and over."""
    version = None
    if digits:
        # a number of twenty digits and more is too large, and Python refuses to read very long ones
        stripped = digits.lstrip("0") or "0"
        version = int(stripped) if len(stripped) < 20 else _MAX_VERSION + 1
        if version > _MAX_VERSION:
            raise InvalidRequestError(f"Failed to convert version: {digits} to numeric.")
    return ModelRef(
        unquote(model, errors="replace"),
        version=version,
        label=unquote(label, errors="replace") if label else None,
    )
