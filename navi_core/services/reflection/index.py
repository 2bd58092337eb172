"""DescriptorIndex: finds the files, symbols and extensions of many descriptor sets. Pure.

The sets are looked at one by one and never joined in one pool: two services may bring one file name
with different contents (``tensor.proto`` whole and trimmed), which a pool refuses. A file's imports come
from its own set first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FieldDescriptorProto,
        FileDescriptorProto,
    )

__all__ = ["DescriptorIndex"]

log = structlog.get_logger(__name__)

_Files: TypeAlias = dict[str, "FileDescriptorProto"]


class DescriptorIndex:
    """Every descriptor that the services of one host have.

    Parameters
    ----------
    descriptor_sets
        Service name -> serialized ``FileDescriptorSet``. Where two describe one name, the first one counts. A
        set that cannot be read is left out, with a warning.
    """

    def __init__(self, descriptor_sets: Mapping[str, bytes]) -> None:
        self._sets: Final[list[_Files]] = []
        self._symbols: Final[dict[str, tuple[_Files, str]]] = {}
        self._extensions: Final[dict[str, dict[int, tuple[_Files, str]]]] = {}
        self._messages: Final[set[str]] = set()
        for service, serialized in descriptor_sets.items():
            self._add(service, serialized)

    def file(self, name: str) -> Sequence[bytes]:
        """Return a file and what it imports, each serialized; the file itself first.

        Raises
        ------
        KeyError
            There is no such file.
        """
        for files in self._sets:
            if name in files:
                return self._with_imports(files, name)
        raise KeyError(name)

    def file_of_symbol(self, name: str) -> Sequence[bytes]:
        """Return the file, with its imports, that declares a full name: of a message, a field, a service, a method...

        Raises
        ------
        KeyError
            Nothing has that name.
        """
        return self._with_imports(*self._symbols[name])

    def file_of_extension(self, message: str, number: int) -> Sequence[bytes]:
        """Return the file, with its imports, that extends a message by the field of that number.

        Raises
        ------
        KeyError
            There is no such extension.
        """
        return self._with_imports(*self._extensions[message][number])

    def extension_numbers(self, message: str) -> Sequence[int]:
        """Return the numbers of all extensions of a message.

        Raises
        ------
        KeyError
            There is no such message.
        """
        if message not in self._messages:
            raise KeyError(message)
        return sorted(self._extensions.get(message, ()))

    # --- reading --------------------------------------------------------------------------------

    def _add(self, service: str, serialized: bytes) -> None:
        from google.protobuf.descriptor_pb2 import (  # noqa: PLC0415 - protobuf is imported with the first question
            FileDescriptorSet,
        )
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - see above

        try:
            found = FileDescriptorSet.FromString(serialized)
        except DecodeError:
            log.warning("descriptor_set_unreadable", service=service)
            return
        files: _Files = {}
        for file in found.file:
            files.setdefault(file.name, file)
        self._sets.append(files)
        for name, file in files.items():
            place = (files, name)
            for symbol in _symbols_of(file):
                self._symbols.setdefault(symbol, place)
            for message, _ in _messages_of(file.message_type, file.package):
                self._messages.add(message)
            for extension in _extensions_of(file):
                numbers = self._extensions.setdefault(extension.extendee.removeprefix("."), {})
                numbers.setdefault(extension.number, place)

    def _with_imports(self, files: _Files, name: str) -> Sequence[bytes]:
        found: list[bytes] = []
        seen = {name}
        pending = [(files, name)]
        while pending:
            home, each = pending.pop()
            file = home[each]
            found.append(file.SerializeToString())
            for dependency in file.dependency:
                if dependency in seen:
                    continue
                seen.add(dependency)
                # a set made without its imports is helped out by the others
                place = next((files for files in (home, *self._sets) if dependency in files), None)
                if place is not None:
                    pending.append((place, dependency))
        return found


def _join(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def _messages_of(messages: Iterable[DescriptorProto], scope: str) -> Iterable[tuple[str, DescriptorProto]]:
    """Yield the full name and the descriptor of messages, and of those inside them."""
    pending = [(_join(scope, message.name), message) for message in messages]
    while pending:
        name, message = pending.pop()
        yield name, message
        pending += [(_join(name, nested.name), nested) for nested in message.nested_type]


def _enums_of(enums: Iterable[EnumDescriptorProto], scope: str) -> Iterable[str]:
    for enum in enums:
        yield _join(scope, enum.name)
        for value in enum.value:  # values are named beside their enum, not inside it
            yield _join(scope, value.name)


def _symbols_of(file: FileDescriptorProto) -> Iterable[str]:
    """Yield every full name that a file declares."""
    package = file.package
    yield from _enums_of(file.enum_type, package)
    for extension in file.extension:
        yield _join(package, extension.name)
    for service in file.service:
        name = _join(package, service.name)
        yield name
        for method in service.method:
            yield _join(name, method.name)
    for name, message in _messages_of(file.message_type, package):
        yield name
        yield from _enums_of(message.enum_type, name)
        for field in (*message.field, *message.extension):
            yield _join(name, field.name)
        for group in message.oneof_decl:
            yield _join(name, group.name)


def _extensions_of(file: FileDescriptorProto) -> Iterable[FieldDescriptorProto]:
    yield from file.extension
    for _, message in _messages_of(file.message_type, file.package):
        yield from message.extension
