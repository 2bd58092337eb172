"""Protobuf messages from serialized descriptor sets, each set in a descriptor pool of its own.

The usual generated ``_pb2`` modules register their files in protobuf's one global pool, where a
second copy of ``tensorflow/core/framework/tensor.proto`` (TensorFlow's, tensorflow-serving-api's,
tritonclient's) is an error at import. A private pool clashes with nothing, needs no generated code
that fits one protobuf version, and costs well under a millisecond, paid when a message is first used.

The sets are made from ``specs/protos`` by ``tools/build_descriptors.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, TypeVar

from navi_core.errors import DecodeError
from navi_core.types import Bytes

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

__all__ = ["DescriptorSet", "lazy_messages", "parse_message"]

M = TypeVar("M", bound="Message")


class DescriptorSet:
    """The messages and services of one protocol.

    Thread-safe; nothing is read before it is asked for. Messages of different sets do not mix, nor
    with classes of the same name from elsewhere: they meet as bytes.

    Parameters
    ----------
    name
        The protocol: the set is the file ``<name>.binpb`` beside this module.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._lock = threading.Lock()
        self._classes: dict[str, type[Message]] = {}

    @cached_property
    def serialized(self) -> bytes:
        """The serialized ``FileDescriptorSet``, well-known types included, for reflection."""
        return resources.files("navi_core.wire").joinpath(f"{self.name}.binpb").read_bytes()

    @cached_property
    def pool(self) -> DescriptorPool:
        """The private pool that holds every file of the set."""
        return self._loaded[0]

    @cached_property
    def _loaded(self) -> tuple[DescriptorPool, dict[str, str]]:
        # Imported here: reading descriptors is not worth protobuf's import time to a host that serves
        # none of its protocols.
        from google.protobuf import descriptor_pb2, descriptor_pool  # noqa: PLC0415 - see above

        pool = descriptor_pool.DescriptorPool()
        full_names: dict[str, str] = {}
        for file in descriptor_pb2.FileDescriptorSet.FromString(self.serialized).file:
            pool.AddSerializedFile(file.SerializeToString())  # dependencies come first in the set
            for message in file.message_type:
                full_names[message.name] = f"{file.package}.{message.name}"
        return pool, full_names

    def message_class(self, name: str) -> type[Message]:
        """Return the class of a message.

        Parameters
        ----------
        name
            Its full name (``tensorflow.serving.PredictRequest``), or the last part of a top-level one.

        Raises
        ------
        KeyError
            The set has no such message.
        """
        known = self._classes.get(name)
        if known is not None:
            return known
        from google.protobuf import message_factory  # noqa: PLC0415 - as above

        with self._lock:
            pool, full_names = self._loaded
            descriptor = pool.FindMessageTypeByName(full_names.get(name, name))
            cls: type[Message] = message_factory.GetMessageClass(descriptor)
            self._classes[name] = cls
            return cls


def lazy_messages(messages: DescriptorSet, namespace: dict[str, Any]) -> Callable[[str], type[Message]]:
    """Make a module's ``__getattr__`` that gives message classes by their short names.

    Parameters
    ----------
    messages
        Where they come from.
    namespace
        The module's ``globals()``: a class that was asked for once is stored there.
    """

    def attribute(name: str) -> type[Message]:
        try:
            found = messages.message_class(name)
        except KeyError:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}") from None
        namespace[name] = found
        return found

    return attribute


def parse_message(kind: type[M], body: Bytes, *, tensor: str = "") -> M:
    """Parse a serialized message.

    Parameters
    ----------
    kind
        The message's class.
    body
        Its bytes.
    tensor
        The tensor that it describes, for the error.

    Raises
    ------
    DecodeError
        The bytes are no such message.
    """
    try:
        return kind.FromString(body if isinstance(body, bytes) else bytes(body))
    except Exception as error:
        from google.protobuf.message import DecodeError as ProtobufDecodeError  # noqa: PLC0415 - as above

        if not isinstance(error, ProtobufDecodeError):
            raise
        what = f"input '{tensor}'" if tensor else "message"
        name = kind.DESCRIPTOR.full_name
        raise DecodeError(f"{what}: expected a {name}, got bytes that are none", tensor=tensor) from error
