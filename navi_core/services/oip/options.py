"""The settings of the service: which of the protocol's dialects to follow where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from navi_core.config.convert import convert
from navi_core.wire.oip_json_document import DEFAULT_MAX_DEPTH, DEFAULT_MAX_JSON_BYTES

__all__ = ["OipOptions", "read_options"]


class OipOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of service ``oip``.

    Attributes
    ----------
    compat
        Whose codes, texts and bodies to use where the dialects differ: KServe's, or Triton's.
    nan
        How floats that are not finite stand in JSON answers: ``null`` (KServe's), or as bare words
        (``token``, Triton's). None: as ``compat`` says.
    max_json_bytes
        The longest JSON document of a request, binary tensors not counted.
    max_json_depth
        The deepest nesting of a JSON document.
    max_stream_requests
        Requests of one stream that run, or whose answers wait to be taken, at any time; beyond them the stream is
        not read.
    """

    compat: Literal["kserve", "triton"] = "kserve"
    nan: Literal["null", "token"] | None = None
    max_json_bytes: Annotated[int, msgspec.Meta(ge=1)] = DEFAULT_MAX_JSON_BYTES
    max_json_depth: Annotated[int, msgspec.Meta(ge=1, le=500)] = DEFAULT_MAX_DEPTH
    max_stream_requests: Annotated[int, msgspec.Meta(ge=1)] = 64

    @property
    def is_triton(self) -> bool:
        """Whether to do as Triton does."""
        return self.compat == "triton"

    @property
    def nan_tokens(self) -> bool:
        """Whether ``NaN`` and ``Infinity`` are written as bare words."""
        return self.is_triton if self.nan is None else self.nan == "token"


def read_options(table: Mapping[str, Any]) -> OipOptions:
    """Read the service's table of the configuration.

    Raises
    ------
    ConfigError
        An unknown key or a wrong value; the path says which.
    """
    return convert(dict(table), OipOptions, "service_options.oip")
