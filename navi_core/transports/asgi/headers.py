"""Headers as a server gave them, decoded when somebody asks: most calls are answered without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from navi_core.transports.metadata import decode_binary

__all__ = ["HttpHeaders", "RawHeaders", "RpcMetadata", "is_hidden"]

RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names and values; ASGI has names in lower case, and not every server keeps to it."""

_HIDDEN: Final = frozenset({b"te", b"content-type", b"host"})
"""What HTTP/2 and gRPC need for themselves, beside ``grpc-...`` and ``:...``."""


def is_hidden(name: bytes) -> bool:
    """Tell whether a header is the protocol's own, and no metadata of the caller's."""
    return name in _HIDDEN or name.startswith((b"grpc-", b":"))


class HttpHeaders(Mapping[str, str | bytes]):
    """A request's headers; of repeated ones, the last.

    Parameters
    ----------
    raw
        As the server gave them.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: RawHeaders) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str | bytes:
        """Return a value.

        Raises
        ------
        KeyError
            There is no such header.
        """
        wanted = name.encode("latin-1", "replace")
        found = None
        for raw_name, value in self._raw:
            if raw_name.lower() == wanted:
                found = value
        if found is None:
            raise KeyError(name)
        return self._decoded(name, found)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(raw_name.decode("latin-1").lower() for raw_name, _ in self._raw))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _decoded(self, _name: str, value: bytes) -> str | bytes:
        return value.decode("latin-1")


class RpcMetadata(HttpHeaders):
    """A call's metadata: without what is the protocol's own, and with ``-bin`` values as bytes."""

    __slots__ = ()

    def __getitem__(self, name: str) -> str | bytes:
        """Return a value; see the base class."""
        if is_hidden(name.encode("latin-1", "replace")):
            raise KeyError(name)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in super().__iter__() if not is_hidden(name.encode("latin-1")))

    def _decoded(self, name: str, value: bytes) -> str | bytes:
        return decode_binary(name, value) if name.endswith("-bin") else super()._decoded(name, value)
