"""Walks protobuf messages that are written the plain way: length-delimited fields, one after the other."""

from __future__ import annotations

__all__ = ["NotPlainError", "length_delimited"]


class NotPlainError(Exception):
    """The message is not written the plain way: protobuf has to parse it."""


def length_delimited(body: bytes, pos: int, end: int) -> list[tuple[int, int, int]]:
    """Return the fields of a message without copying them.

    Parameters
    ----------
    body
        What holds it.
    pos, end
        Where in ``body`` it lies, in bytes.

    Returns
    -------
    fields
        (tag, start, stop) of each, in order: its tag's byte, and where its contents lie.

    Raises
    ------
    NotPlainError
        A field is of another kind, has a number over 15, or does not end where the message does.
    """
    fields: list[tuple[int, int, int]] = []
    try:
        while pos < end:
            tag = body[pos]
            if tag & 0x87 != 2:
                raise NotPlainError
            pos += 1
            length = shift = 0
            while (byte := body[pos]) >= 0x80:
                length |= (byte & 0x7F) << shift
                shift += 7
                pos += 1
                if shift > 28:  # more than any message has
                    raise NotPlainError
            start = pos + 1
            pos = start + (length | byte << shift)
            fields.append((tag, start, pos))
    except IndexError:
        raise NotPlainError from None
    if pos != end:
        raise NotPlainError
    return fields
