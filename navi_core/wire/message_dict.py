"""Messages as plain values for JSON: names as declared, defaults included, 64-bit integers as numbers.

Protobuf's own JSON writes 64-bit integers as strings; the Open Inference Protocol has numbers there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["message_dict"]


def message_dict(message: Message) -> dict[str, Any]:
    """Return a message's fields; messages that are not there are left out, all else is shown.

    Bytes are not supported.
    """
    shown: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            values = kind.fields_by_name["value"]
            shown[field.name] = {str(key): _plain(value[key], values) for key in value}
        elif hasattr(value, "extend"):  # protobuf's versions do not agree on how a field says that it repeats
            shown[field.name] = [_plain(item, field) for item in value]
        else:
            shown[field.name] = _plain(value, field)
    return shown


def _plain(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return message_dict(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    return value
