"""Plain tables into typed records, with errors that say where, what was expected, and what came.

msgspec does the validation. Only when it refuses is the value walked beside its type to find the
first thing that is wrong, because msgspec's own text has neither the value nor the key of a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from navi_core.config.wording import describe, item_path, key_path, plain, show, unknown_key
from navi_core.errors import ConfigError

__all__ = ["convert", "convert_options"]

T = TypeVar("T")


def convert(value: object, kind: type[T], path: str = "") -> T:
    """Return ``value`` (tables, arrays, scalars) as an instance of ``kind``.

    Parameters
    ----------
    value
        What the TOML or JSON parser answered.
    kind
        A ``msgspec.Struct``, or any type that msgspec converts to.
    path
        Where the value stands, for the error; empty: at the top.

    Raises
    ------
    ConfigError
        Unknown key, missing key, wrong type or broken constraint; ``path`` says where.
    """
    _check_integers(value, path)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        found = _explain(value, kind, path)
        if found is None:
            found = ConfigError(plain(error), path=path)
        raise found from None


def convert_options(
    options_type: type[msgspec.Struct] | None, table: Mapping[str, Any], path: str = ""
) -> Any:
    """Return a plugin's table as an instance of its ``options_type``; None where it has none.

    Parameters
    ----------
    options_type
        The plugin's record of options.
    table
        What the configuration says, perhaps overlaid.
    path
        Where the table stands, for the error: ``runtimes.onnx``, ``models[0].runtime_options``.

    Raises
    ------
    ConfigError
        The table does not fit the record, or there is none and the table is not empty.
    """
    if options_type is None:
        for key in table:
            raise ConfigError(unknown_key(key, ()), path=key_path(path, key))
        return None
    return convert(dict(table), options_type, path)


def _explain(value: object, kind: Any, path: str) -> ConfigError | None:
    """Return the first error in ``value``, in the order of the file; None if ``kind`` accepts it."""
    choices = _choices(kind)
    if isinstance(value, Mapping):
        records = [choice for choice in choices if _is_record(choice)]
        if len(records) == 1:
            found = _explain_record(value, records[0], path)
            if found is not None:
                return found
        tables = [choice for choice in choices if get_origin(choice) is dict]
        if len(tables) == 1 and not records:
            item_kind = get_args(tables[0])[1]
            for key, item in value.items():
                found = _explain(item, item_kind, key_path(path, str(key)))
                if found is not None:
                    return found
    elif isinstance(value, list | tuple):
        arrays = [choice for choice in choices if _item_kind(choice) is not None]
        if len(arrays) == 1:
            for index, item in enumerate(value):
                found = _explain(item, _item_kind(arrays[0]), item_path(path, index))
                if found is not None:
                    return found
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if isinstance(value, Mapping) and any(map(_is_record, choices)):
            # every field is right by itself: the record's own check refused the whole
            return ConfigError(plain(error), path=path)
        return ConfigError(f"expected {describe(kind)}, got {show(value)}", path=path)
    return None


def _explain_record(
    value: Mapping[str, object], record: type[msgspec.Struct], path: str
) -> ConfigError | None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(record)}
    config = record.__struct_config__
    known = {*fields, *([config.tag_field] if config.tag_field else [])}
    if config.forbid_unknown_fields:
        # before missing keys: a misspelt key is the reason why the right one is missing
        for key in value:
            if key not in known:
                return ConfigError(unknown_key(key, tuple(fields)), path=key_path(path, key))
    for key, item in value.items():
        if key in fields:
            found = _explain(item, fields[key].type, key_path(path, key))
            if found is not None:
                return found
    for key, field in fields.items():
        if field.required and key not in value:
            return ConfigError(f"missing, expected {describe(field.type)}", path=key_path(path, key))
    return None


def _check_integers(value: object, path: str) -> None:
    """Refuse integers of more than 64 bits: TOML's hexadecimal ones may have any length."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_integers(item, key_path(path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_integers(item, item_path(path, index))
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ConfigError(f"expected an integer of at most 64 bits, got {show(value)}", path=path)


def _choices(kind: Any) -> Sequence[Any]:
    """Return the members of a union, without None and without annotations; a plain type by itself."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _choices(get_args(kind)[0])
    if origin is Union or origin is UnionType:
        return [choice for member in get_args(kind) for choice in _choices(member)]
    return [] if kind is NoneType else [kind]


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _item_kind(kind: Any) -> Any:
    """Return the type of an array's items; None if ``kind`` is no array of like items."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple:
        return args[0] if len(args) == 2 and args[1] is Ellipsis else None
    if isinstance(origin, type) and issubclass(origin, Sequence | AbstractSet):
        return args[0]
    return None
