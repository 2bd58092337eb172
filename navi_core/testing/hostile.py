"""Bodies that no client of good will sends: what a service must answer with an error of its protocol."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

__all__ = ["hostile_bodies"]

_DEPTH: Final = 20_000


def _fixed() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "a zero", b"\0"
    yield "a thousand zeros", bytes(1000)
    yield "a newline", b"\n"
    yield "text", b"hello"
    yield "bytes that are no UTF-8", b"\xff\xfe\xfd"
    yield "UTF-8 of a lone surrogate", b"\xed\xa0\x80"
    yield "UTF-16", '{"a": 1}'.encode("utf-16")
    yield "gzip that nobody announced", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
    # the wire format of protobuf
    yield "a varint without end", b"\x08" + b"\xff" * 64
    yield "the largest varint", b"\x08" + b"\xff" * 9 + b"\x01"
    for field in (1, 2, 3, 15):
        tag = bytes([field << 3 | 2])
        yield f"field {field} of 4 GB that do not come", tag + b"\xff\xff\xff\xff\x0f"
        yield f"field {field} of 2^63 bytes", tag + b"\x80" * 9 + b"\x01"
        yield f"field {field} that is no UTF-8", tag + b"\x02\xff\xff"
        yield f"field {field} nested in itself", _nested(tag)
    yield "groups without end", b"\x0b" * _DEPTH
    yield "an end of a group that never began", b"\x0c"
    yield "a field of number 0", b"\x02\x00"
    yield "a wire type that does not exist", b"\x0f\x00"
    # JSON
    yield "an open object", b'{"'
    for opening in (b"[", b'{"a":', b'{"instances":[', b'{"inputs":{"x":['):
        yield f"JSON nested {_DEPTH} deep: {opening.decode()}", opening * _DEPTH
    yield "a closed array nested deep", b"[" * _DEPTH + b"]" * _DEPTH
    yield "a number of 10 000 digits", b"9" * 10_000
    for number in (b"1e999999", b"-1e999999", b"NaN", b"Infinity", b"9" * 400, b"-0", b"01", b"0x10"):
        yield f"numbers: {number[:10].decode()}", b'{"instances": [%b], "inputs": [%b]}' % (number, number)
    yield "a key twice", b'{"instances": [1], "instances": [2]}'
    yield "a lone surrogate in JSON", b'{"signature_name": "\\ud800", "instances": [1]}'
    for wrong in (
        b"null",
        b"true",
        b"{}",
        b"[]",
        b'""',
        b"{} {}",
        b'{"instances": null}',
        b'{"instances": {}}',
    ):
        yield wrong.decode(), wrong
    yield "ragged rows", b'{"instances": [[1, 2], [3]]}'
    yield "base64 that is none", b'{"instances": [{"b64": "*"}]}'


def _nested(tag: bytes) -> bytes:
    """Return a message within a message, a few hundred deep, as protobuf writes it."""
    inner = b""
    for _ in range(300):
        size, length = len(inner), b""
        while size > 0x7F:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        inner = tag + length + bytes([size]) + inner
    return inner


def hostile_bodies(good: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield a name and a body each: fixed ones, noise, and what is left of a good body that was damaged.

    Parameters
    ----------
    good
        A body that is answered; may be empty.
    seed
        Of noise and damage.
    """
    yield from _fixed()
    dice = random.Random(seed)  # noqa: S311 - no secret is made of it
    for number in range(64):
        yield f"noise {number} of seed {seed}", dice.randbytes(dice.randrange(1, 200))
    step = max(1, len(good) // 64)
    for cut in range(0, len(good), step):
        yield f"a good body cut to {cut} of {len(good)} bytes", good[:cut]
    for number in range(200 if good else 0):
        damaged = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        yield f"damage {number} of seed {seed}", bytes(damaged)
    yield "a good body twice", good + good
