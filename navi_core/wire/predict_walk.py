"""PredictRequests that are written the plain way, walked field by field to find where things lie.

The plain way is every client library's; whatever is unusual is left to protobuf's parser.
"""

from __future__ import annotations

from typing import Final

from navi_core.types import Bytes

__all__ = ["NotPlainError", "has_content", "split_predict_request"]

_TAG_MODEL_SPEC: Final = 0x0A
_TAG_INPUT: Final = 0x12
_TAG_OUTPUT_FILTER: Final = 0x1A
_TAG_ENTRY_KEY: Final = 0x0A
_TAG_ENTRY_VALUE: Final = 0x12

_TAG_CONTENT: Final = 0x22
_LENGTH_DELIMITED: Final = 2


class NotPlainError(Exception):
    """The message is not written the plain way: protobuf has to parse it."""


def has_content(body: Bytes, place: tuple[int, int]) -> bool:
    """Look for the field in a TensorProto, which has been decoded without an error."""
    pos, end = place
    while pos < end:
        tag, pos = _varint(body, pos)
        if tag == _TAG_CONTENT and body[pos]:
            return True
        number_or_length, pos = _varint(body, pos)
        if tag & 7 == _LENGTH_DELIMITED:
            pos += number_or_length
        elif tag & 7:  # no field of a TensorProto is fixed
            break
    return False


def _varint(body: Bytes, pos: int) -> tuple[int, int]:
    """Read a varint at ``pos``; return it and where the next thing starts."""
    value = shift = 0
    while (byte := body[pos]) >= 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
    return value | byte << shift, pos + 1


def split_predict_request(body: Bytes) -> tuple[bytes | None, dict[str, tuple[int, int]], tuple[str, ...]]:
    """Find the parts of a plainly written request.

    Returns
    -------
    model_spec, inputs, output_filter
        The serialized ModelSpec (None: absent); name -> (start, end) of its TensorProto; names.

    Raises
    ------
    NotPlainError, IndexError, UnicodeDecodeError
        Something is unusual, or wrong.
    """
    spec: bytes | None = None
    entries: dict[str, tuple[int, int]] = {}
    output_filter: list[str] = []
    pos, end = 0, len(body)
    while pos < end:
        tag = body[pos]
        start, stop = _run(body, pos + 1, end)
        if tag == _TAG_INPUT:
            if body[start] != _TAG_ENTRY_KEY:
                raise NotPlainError
            key_start, key_stop = _run(body, start + 1, stop)
            if key_stop >= stop or body[key_stop] != _TAG_ENTRY_VALUE:
                raise NotPlainError
            value_start, value_stop = _run(body, key_stop + 1, stop)
            name = bytes(body[key_start:key_stop]).decode()
            if value_stop != stop or name in entries:
                raise NotPlainError
            entries[name] = (value_start, value_stop)
        elif tag == _TAG_MODEL_SPEC and spec is None:
            spec = bytes(body[start:stop])
        elif tag == _TAG_OUTPUT_FILTER:
            output_filter.append(bytes(body[start:stop]).decode())
        else:
            raise NotPlainError
        pos = stop
    return spec, entries, tuple(output_filter)


def _run(body: Bytes, pos: int, limit: int) -> tuple[int, int]:
    """Read a length at ``pos``; return where its bytes start and stop."""
    length = shift = 0
    while (byte := body[pos]) >= 0x80:
        length |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
        if shift > 28:
            raise NotPlainError
    pos += 1
    stop = pos + (length | byte << shift)
    if stop > limit:
        raise NotPlainError
    return pos, stop
