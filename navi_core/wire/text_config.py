"""Configuration files of TensorFlow Serving: messages in protobuf's text format."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from navi_core.errors import InvalidRequestError
from navi_core.wire import tf_serving

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["parse_text"]

M = TypeVar("M", bound="Message")


def parse_text(kind: type[M], text: str) -> M:
    """Parse a message in text format.

    Raises
    ------
    InvalidRequestError
        It is none; with line and column.
    """
    from google.protobuf import text_format  # noqa: PLC0415 - protobuf is imported with the first message

    message = kind()
    name = kind.DESCRIPTOR.name
    try:
        text_format.Parse(text, message, descriptor_pool=tf_serving.DESCRIPTORS.pool)
    except text_format.ParseError as error:
        words = " ".join(str(error).split())
        raise InvalidRequestError(f"expected a {name} as text: {words}") from None
    except RecursionError:
        raise InvalidRequestError(f"expected a {name} as text, got one that is nested too deep") from None
    return message
