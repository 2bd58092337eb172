"""Proton: one float32 tensor in, one out."""

from __future__ import annotations

import math
from typing import ClassVar, Final

import numpy as np

from navi_client._generated import proton
from navi_client._generated.descriptors import parse_message
from navi_client._generated.tensor_proto import varint
from navi_client._generated.tensor_view import MAX_RANK
from navi_client.arrays import named_arrays
from navi_client.errors import DecodeError, UnsupportedError
from navi_client.messages import Outputs, Request
from navi_client.protocols.base import Exchange, WireProtocol
from navi_client.protocols.fields import NotPlainError, length_delimited
from navi_client.types import Array, Bytes

__all__ = ["Proton"]

_PREDICT: Final = "/predict.Predictor/Predict"
_OUTPUT: Final = "data"
_FLOAT: Final = np.dtype("<f4")
_DATA: Final = 0x1A


class Proton(WireProtocol):
    """Proton's protocol. Tensors have no names in it: a request has one, the answer's is called ``data``."""

    name: ClassVar[str] = "proton"
    title: ClassVar[str] = "Proton's protocol"

    def predict(self, request: Request) -> Exchange[Outputs]:
        """Ask for a prediction.

        Raises
        ------
        TypeError
            The input is not float32: nothing is rounded unasked.
        ValueError
            There is not exactly one input.
        UnsupportedError
            The request names a version, a label, a signature or outputs, or has an id or parameters.
        """
        target = request.target
        named = (target.version is not None, target.label is not None, target.signature, request.outputs)
        if any(named) or request.request_id or request.parameters:
            raise UnsupportedError(
                f"{self.title} has no versions, labels, signatures, names of outputs, ids and parameters"
            )
        arrays = named_arrays(request.inputs)
        if len(arrays) != 1:
            names = ", ".join(arrays) or "none"
            raise ValueError(f"inputs: expected one, which is all that {self.title} has, got {names}")
        [(name, array)] = arrays.items()
        if array.dtype.newbyteorder("=") != np.float32:
            msg = f"input '{name}': expected float32, which is all that {self.title} has, got {array.dtype}"
            raise TypeError(msg)
        return Exchange(_PREDICT, b"".join(_encoded(target.model, array)), self._read)

    def _read(self, body: bytes) -> Outputs:
        try:
            head, data = _split(body)
        except NotPlainError:
            head, data = body, None
        message = parse_message(proton.InferenceResponse, head)
        values: Array = np.array(message.data, _FLOAT) if data is None else data
        shape = tuple(message.shape)
        if len(shape) > MAX_RANK or any(size < 0 for size in shape):
            raise DecodeError(f"shape: expected at most {MAX_RANK} sizes >= 0, got {list(shape)[:MAX_RANK]}")
        # Python's integers do not overflow; zeros are left out because NumPy refuses (0, 2**62)
        if math.prod(shape) != values.size or math.prod(filter(None, shape)) > self._max_tensor_bytes:
            raise DecodeError(f"shape: expected one of {values.size} values, got {list(shape)}")
        return Outputs(
            {_OUTPUT: values.reshape(shape)}, model=message.model_name, request_id=message.prediction_id
        )


def _encoded(model: str, array: Array) -> list[Bytes]:
    """Return an InferenceRequest in pieces."""
    name = model.encode()
    pieces: list[Bytes] = [b"\x0a" + varint(len(name)) + name]
    values = np.ascontiguousarray(array, _FLOAT).reshape(-1)
    if values.size:
        pieces += (b"\x12" + varint(values.nbytes), values.view(np.uint8).data)
    if array.shape:
        sizes = b"".join(map(varint, array.shape))
        pieces.append(b"\x1a" + varint(len(sizes)) + sizes)
    return pieces


def _split(body: bytes) -> tuple[bytes, Array]:
    """Return a plainly written answer without its values, and these as a view of it.

    Raises
    ------
    NotPlainError
        Something is unusual, or wrong.
    """
    rest: list[bytes] = []
    data: Array | None = None
    begin = field = 0  # of what is not the data, and of the field that is looked at
    for tag, start, stop in length_delimited(body, 0, len(body)):
        before, field = field, stop
        if tag != _DATA:
            continue
        if data is not None or (stop - start) % _FLOAT.itemsize:
            raise NotPlainError
        data = np.frombuffer(body, _FLOAT, (stop - start) // _FLOAT.itemsize, start)
        rest.append(body[begin:before])
        begin = stop
    if data is None:
        return body, np.empty(0, _FLOAT)
    rest.append(body[begin:])
    return b"".join(rest), data
