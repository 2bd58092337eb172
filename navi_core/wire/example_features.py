"""The features of a serialized ``tensorflow.Example``, without decoding those that nobody asks for.

protobuf's own parser finds the features and hands each over as bytes; a feature that is written the plain
way (one list, its numbers as one packed run) is then a slice of its bytes. Every other encoding goes through
protobuf's parser once more, which knows them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from navi_core.errors import DecodeError
from navi_core.wire import tf_example, tf_serving
from navi_core.wire.descriptors import parse_message
from navi_core.wire.tensor_proto import varint
from navi_core.wire.varints import count_varints

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import BytesList, FloatList, Int64List

__all__ = ["KINDS", "bytes_of", "features_of", "float_run_of", "int64_run_of", "list_of", "plain_head"]

KINDS: Final = {1: "bytes_list", 2: "float_list", 3: "int64_list"}
"""Number of a feature's field -> its name."""

_TAG_VALUES: Final = 0x0A
_TAGS: Final = {number << 3 | 2: number for number in KINDS}
_FLOAT_BYTES: Final = 4


def features_of(example: bytes) -> Mapping[str, bytes]:
    """Return name -> serialized Feature of a serialized ``tensorflow.Example``.

    Raises
    ------
    DecodeError
        It is none.
    """
    try:
        return parse_message(tf_example.UndecodedExample, example).features.feature
    except DecodeError:
        raise DecodeError("expected a tensorflow.Example, got bytes that are none") from None


def plain_head(kind: int, size_bytes: int) -> bytes:
    """Return how a Feature begins that is one list with one run of so many bytes, written the plain way."""
    values = b"\x0a" + varint(size_bytes)
    return bytes((kind << 3 | 2,)) + varint(len(values) + size_bytes) + values


def list_of(feature: bytes) -> tuple[int, bytes]:
    """Return which list a serialized Feature has (a key of :data:`KINDS`; 0: none), and the list's bytes.

    Raises
    ------
    DecodeError
        It is no Feature.
    """
    if not feature:
        return 0, b""
    kind = _TAGS.get(feature[0])
    if kind is not None:
        start, stop = _span(feature)
        if stop == len(feature):
            return kind, feature[start:]
    message = parse_message(tf_serving.Feature, feature)
    name = message.WhichOneof("kind")
    if name is None:
        return 0, b""
    number = next(number for number, known in KINDS.items() if known == name)
    values: BytesList | FloatList | Int64List = getattr(message, name)
    return number, values.SerializeToString()


def float_run_of(values: bytes) -> bytes:
    """Return the numbers of a serialized FloatList as they lie in memory, four bytes each, little-endian.

    Raises
    ------
    DecodeError
        It is none.
    """
    run = _packed(values)
    if run is None:
        numbers = parse_message(tf_serving.FloatList, values).value
        return np.array(numbers, dtype="<f4").tobytes()
    if len(run) % _FLOAT_BYTES:
        raise DecodeError(f"expected floats of four bytes each, got {len(run)} bytes")
    return run


def int64_run_of(values: bytes) -> tuple[bytes, int]:
    """Return the numbers of a serialized Int64List as varints, and how many there are.

    Raises
    ------
    DecodeError
        It is none.
    """
    run = _packed(values)
    if run is None:
        message = tf_serving.Int64List(value=parse_message(tf_serving.Int64List, values).value)
        run = _packed(message.SerializeToString()) or b""
    return run, count_varints(run)


def bytes_of(values: bytes, limit: int | None = None) -> list[bytes]:
    """Return the items of a serialized BytesList; no more than one beyond ``limit``.

    Raises
    ------
    DecodeError
        It is none.
    """
    items: list[bytes] = []
    pos, end = 0, len(values)
    while pos < end and (limit is None or len(items) <= limit):
        start, stop = _span(values, pos)
        if values[pos] != _TAG_VALUES or stop > end:
            return list(parse_message(tf_serving.BytesList, values).value)
        items.append(values[start:stop])
        pos = stop
    return items


def _packed(values: bytes) -> bytes | None:
    """Return the one packed run that a list is; None where it is written differently."""
    if not values:
        return b""
    if values[0] != _TAG_VALUES:
        return None
    start, stop = _span(values)
    return values[start:] if stop == len(values) else None


def _span(data: bytes, pos: int = 0) -> tuple[int, int]:
    """Return where the content after the tag at ``pos`` starts and stops; beyond the end where its length is cut."""
    length = shift = 0
    end = len(data)
    pos += 1
    while pos < end and shift < 35:
        byte = data[pos]
        pos += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return pos, pos + length
        shift += 7
    return pos, end + 1
