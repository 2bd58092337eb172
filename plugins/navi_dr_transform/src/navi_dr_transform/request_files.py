"""Files of requests: raw ones, and lines of base64; read bit by bit, so that a file may be larger than memory."""

from __future__ import annotations

import base64
import binascii
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, Final

from navi_core import ConfigError, DecodeError

__all__ = ["read_requests", "requests_in"]

_BASE64_TEXT: Final = re.compile(rb"[A-Za-z0-9+/=\s]*")
_HEAD_BYTES: Final = 1 << 16
_BLOCK_BYTES: Final = 1 << 20


def read_requests(
    files: Sequence[Path], form: str, on_bytes: Callable[[int], object] = int
) -> Iterator[tuple[str, bytes]]:
    """Yield the requests in files, each with the words that say where it stood.

    Parameters
    ----------
    files
        Paths; ``-`` is standard input.
    form
        See :func:`requests_in`.
    on_bytes
        Told how many more bytes of the files have been used.

    Raises
    ------
    ConfigError
        A file cannot be read.
    DecodeError
        A line is not base64.
    """
    for file in files:
        try:
            opened = nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb")
            with opened as stream:
                yield from requests_in(stream, form, str(file), on_bytes)
        except OSError as error:
            raise ConfigError(f"'{file}' cannot be read: {error.strerror}") from error


def requests_in(
    stream: BinaryIO, form: str, name: str, on_bytes: Callable[[int], object] = int
) -> Iterator[tuple[str, bytes]]:
    """Yield the requests in a file, each with the words that say where it stood.

    Parameters
    ----------
    stream
        The file.
    form
        ``raw``: all of it is one request; ``base64``: each line that is not blank is one; ``auto``:
        base64 when it begins like text. A thrift struct does not: it holds bytes that no text has.
    name
        The file's name.
    on_bytes
        Told how many more bytes of the file have been used.

    Raises
    ------
    DecodeError
        A line is not base64.
    """
    head = stream.read(_HEAD_BYTES)
    if form == "raw" or (form == "auto" and _BASE64_TEXT.fullmatch(head) is None):
        payload = head + stream.read()
        on_bytes(len(payload))
        yield name, payload
        return
    for number, line in enumerate(_lines(head, stream), start=1):
        on_bytes(len(line) + 1)
        text = line.strip()
        if not text:
            continue
        where = f"{name} line {number}"
        try:
            yield where, base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise DecodeError(f"{where}: expected base64, got something else: {error}") from None


def _lines(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    rest = head
    block = head
    while block:
        block = stream.read(_BLOCK_BYTES)
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        yield rest
