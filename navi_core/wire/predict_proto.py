"""PredictRequest -> named arrays, named arrays -> PredictResponse.

Like `navi_core.wire.tensor_proto`, the request's decoder walks messages that are written the plain
way, so that tensors become views of the body, and leaves all others to protobuf's parser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from navi_core.messages import ModelRef
from navi_core.types import Array, Bytes, NamedArrays
from navi_core.wire import tf_serving
from navi_core.wire.body_layouts import BodyLayouts
from navi_core.wire.descriptors import parse_message
from navi_core.wire.predict_walk import NotPlainError, has_content, split_predict_request
from navi_core.wire.tensor_proto import (
    VIEW_FROM_BYTES,
    array_of_message,
    decode_tensor,
    encode_tensor,
    fixed_head,
    varint,
)
from navi_core.wire.tensor_view import find_values

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ModelSpec, PredictRequest

__all__ = [
    "ParsedPredictRequest",
    "PredictTarget",
    "encode_predict_response",
    "parse_predict_request",
    "spec_ref",
]

_SMALL_SPEC_BYTES: Final = 256

_SMALL_BODY_BYTES: Final = 1024


class PredictTarget(NamedTuple):
    """What a ModelSpec says.

    Parameters
    ----------
    spec
        As sent, to be read only.
    ref
        The model and version that it names; the name may be empty.
    signature
        As sent; empty: the default one.
    """

    spec: ModelSpec
    ref: ModelRef
    signature: str


class ParsedPredictRequest(Protocol):
    """A PredictRequest whose tensors are found but not decoded."""

    @property
    def target(self) -> PredictTarget | None:
        """What is asked for; None: the request has no ModelSpec."""

    @property
    def output_filter(self) -> tuple[str, ...]:
        """As sent."""

    def decode_inputs(self, max_tensor_bytes: int) -> dict[str, Array]:
        """Decode the tensors.

        Parameters
        ----------
        max_tensor_bytes
            The most bytes that all of them together may become.

        Returns
        -------
        inputs
            Name -> array, see `navi_core.wire.tensor_proto.decode_tensor`.

        Raises
        ------
        DecodeError
            With ``tensor`` set.
        """

    def has_content(self) -> bool:
        """Tell whether a tensor is written as ``tensor_content``; asked once tensors have been decoded."""


@dataclass(slots=True)
class _Split:
    """A request that is written the plain way, with its entries found.

    Parameters
    ----------
    target, output_filter
        As in `ParsedPredictRequest`.
    body
        What the tensors lie in.
    entries
        Name -> start and end of the tensor.
    """

    target: PredictTarget | None
    output_filter: tuple[str, ...]
    body: Bytes
    entries: dict[str, tuple[int, int]]

    def decode_inputs(self, max_tensor_bytes: int) -> dict[str, Array]:
        inputs: dict[str, Array] = {}
        for name, (start, end) in self.entries.items():
            array = decode_tensor(self.body, start, end, name=name, max_tensor_bytes=max_tensor_bytes)
            max_tensor_bytes -= array.nbytes
            inputs[name] = array
        return inputs

    def has_content(self) -> bool:
        return any(map(partial(has_content, self.body), self.entries.values()))


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is the same in all requests that are alike but for the values of their tensors.

    Parameters
    ----------
    split
        One of them, without its body.
    places
        Name, shape, dtype and start of each tensor.
    size_bytes
        Of all tensors together.
    has_content
        A tensor is written as ``tensor_content``.
    """

    split: _Split
    places: tuple[tuple[str, tuple[int, ...], np.dtype, int], ...]
    size_bytes: int
    has_content: bool


class _Alike:
    """A request like an earlier one."""

    __slots__ = ("_body", "_layout", "output_filter", "target")

    def __init__(self, body: Bytes, layout: _Layout) -> None:
        self._body = body
        self._layout = layout
        self.target = layout.split.target
        self.output_filter = layout.split.output_filter

    def decode_inputs(self, max_tensor_bytes: int) -> dict[str, Array]:
        layout, body = self._layout, self._body
        if layout.size_bytes > max_tensor_bytes:
            split = layout.split
            return _Split(None, (), body, split.entries).decode_inputs(max_tensor_bytes)
        inputs: dict[str, Array] = {
            name: np.ndarray(shape, dtype, body, start) for name, shape, dtype, start in layout.places
        }
        if type(body) is not bytes:  # views of those are read-only anyhow
            for array in inputs.values():
                array.flags.writeable = False
        return inputs

    def has_content(self) -> bool:
        return self._layout.has_content


class _Parsed:
    """A request that protobuf has parsed."""

    __slots__ = ("_message", "output_filter", "target")

    def __init__(self, message: PredictRequest) -> None:
        self._message = message
        self.target = _target_of(message.model_spec) if message.HasField("model_spec") else None
        self.output_filter = tuple(message.output_filter)

    def decode_inputs(self, max_tensor_bytes: int) -> dict[str, Array]:
        inputs: dict[str, Array] = {}
        for name, tensor in self._message.inputs.items():
            array = array_of_message(tensor, name=name, max_tensor_bytes=max_tensor_bytes)
            max_tensor_bytes -= array.nbytes
            inputs[name] = array
        return inputs

    def has_content(self) -> bool:
        return any(tensor.tensor_content for tensor in self._message.inputs.values())


_LAYOUTS: Final[BodyLayouts[_Layout]] = BodyLayouts()


def parse_predict_request(body: Bytes) -> ParsedPredictRequest:
    """Parse a serialized PredictRequest; tensors decoded from it may be views of ``body``.

    Raises
    ------
    DecodeError
        It is no PredictRequest.
    """
    if len(body) <= _SMALL_BODY_BYTES and type(body) is not bytes:
        body = bytes(body)  # whose parts are compared and looked at in less time than this takes
    layout = _LAYOUTS.find(body)
    if layout is not None:
        return _Alike(body, layout)
    try:
        spec, entries, output_filter = split_predict_request(body)
    except (NotPlainError, IndexError, UnicodeDecodeError):
        return _Parsed(parse_message(tf_serving.PredictRequest, body))
    target = None
    if spec is not None:
        target = (_parse_small_spec if len(spec) <= _SMALL_SPEC_BYTES else _parse_spec)(spec)
    split = _Split(target, output_filter, body, entries)
    found = [(name, find_values(body, start, end)) for name, (start, end) in entries.items()]
    plain = [(name, values) for name, values in found if values is not None and values.dtype.kind != "b"]
    if len(plain) < len(entries) or not plain:  # bools have to be looked at
        return split
    layout = _Layout(
        _Split(target, output_filter, b"", entries),
        tuple((name, values.shape, values.dtype, values.start) for name, values in plain),
        sum(values.size_bytes for _, values in plain),
        any(values.is_content for _, values in plain),
    )
    _LAYOUTS.add(body, [(values.start, values.start + values.size_bytes) for _, values in plain], layout)
    return _Alike(body, layout)


def _parse_spec(spec: bytes) -> PredictTarget:
    return _target_of(parse_message(tf_serving.ModelSpec, spec))


_parse_small_spec: Final = lru_cache(maxsize=256)(_parse_spec)
"""Clients send the same few ModelSpecs over and over."""


def _target_of(spec: ModelSpec) -> PredictTarget:
    return PredictTarget(spec, spec_ref(spec), spec.signature_name)


def spec_ref(spec: ModelSpec) -> ModelRef:
    """Return which model and version a spec names; its name may be empty."""
    choice = spec.WhichOneof("version_choice")
    return ModelRef(
        spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
    )


def encode_predict_response(
    outputs: NamedArrays, *, model: str, version: int, signature: str, as_content: bool = False
) -> tuple[list[Bytes], bool]:
    """Encode a PredictResponse.

    Parameters
    ----------
    outputs
        Name -> array.
    model, version, signature
        What answered: the response's ``model_spec``.
    as_content
        Write tensors as ``tensor_content``.

    Returns
    -------
    pieces
        The message, in pieces to be written one after the other.
    has_views
        Some pieces are views of ``outputs``, which must not change until they are written.
    """
    pieces: list[Bytes] = []
    small: list[Bytes] = []
    for name, array in outputs.items():
        head = _plain_head(name, array.dtype, array.shape, as_content)
        if head is not None and array.nbytes < VIEW_FROM_BYTES:
            small += (head, array.tobytes())
            continue
        tensor = encode_tensor(array, as_content=as_content)
        size_bytes = sum(map(len, tensor))
        key = name.encode()
        entry = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(size_bytes)
        small.append(b"\x0a" + varint(len(entry) + size_bytes) + entry)
        small += tensor
        if isinstance(small[-1], memoryview):
            view = small.pop()
            pieces += (b"".join(small), view)
            small.clear()
    has_views = bool(pieces)
    small.append(_encoded_model_spec(model, version, signature))
    pieces.append(b"".join(small))
    return pieces, has_views


@lru_cache(maxsize=1024)
def _plain_head(name: str, dtype: np.dtype, shape: tuple[int, ...], as_content: bool) -> bytes | None:
    """Return what goes before an output's values; None: they are not their own bytes."""
    head = fixed_head(dtype, shape, as_content=as_content)
    if head is None:
        return None
    size_bytes = len(head) + math.prod(shape) * dtype.itemsize
    key = name.encode()
    entry = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(size_bytes)
    return b"\x0a" + varint(len(entry) + size_bytes) + entry + head


@lru_cache(maxsize=256)
def _encoded_model_spec(model: str, version: int, signature: str) -> bytes:
    """Return field 2 of a PredictResponse."""
    spec = tf_serving.ModelSpec(name=model, signature_name=signature)
    spec.version.value = version
    data = spec.SerializeToString()
    return b"\x12" + varint(len(data)) + data
