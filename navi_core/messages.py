"""Requests and responses between services and the data plane: neutral, named arrays and a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from navi_core.types import NamedArrays, Parameters

__all__ = ["InferenceRequest", "InferenceResponse", "ModelRef"]

_NO_PARAMETERS: Final[Parameters] = {}


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What a client asked for: a model, and perhaps one version of it.

    Parameters
    ----------
    name
        The model's name.
    version
        An exact version; None: the newest that is available.
    label
        A version label; excludes ``version``.
    """

    name: str
    version: int | None = None
    label: str | None = None


class InferenceRequest(msgspec.Struct, kw_only=True):
    """One request, decoded. A struct, as the answer: a dataclass takes four times as long to make.

    Parameters
    ----------
    inputs
        Name -> array. Read-only views of the body where the format allows it, perhaps unaligned;
        they must stay unchanged until the response has come.
    signature
        The signature's name; empty: the default one.
    outputs
        Names of the outputs to compute, in order; empty: all.
    parameters
        Reach the runtime as ``ctx.parameters``.
    deadline
        Seconds on the monotonic clock; None: none.
    priority
        The level to queue at, 1 is served first; 0, or one that the model does not have: the model's default.
    body_bytes
        Size of the body that the inputs are views of; queues count it.
    service, transport, method
        Who asks, for metrics and logs (``tf_serving``, ``grpc``, ``Predict``).
    """

    inputs: NamedArrays
    signature: str = ""
    outputs: tuple[str, ...] = ()
    parameters: Parameters = msgspec.field(default_factory=lambda: _NO_PARAMETERS)
    deadline: float | None = None
    priority: int = 0
    body_bytes: int = 0
    service: str = "in_process"
    transport: str = "in_process"
    method: str = "infer"


def _nothing() -> None:
    """Release nothing: the arrays belong to the caller."""


class InferenceResponse(msgspec.Struct, kw_only=True):
    """One answer.

    Parameters
    ----------
    outputs
        Name -> array, in the order asked for. May be views of a pooled buffer until
        ``release`` is called; copy what must live longer.
    model, version, signature
        What answered.
    release
        Gives pooled buffers back. The service calls it once the answer is encoded; calling it
        again does nothing. Forgetting it costs the pool a buffer, never correctness.
    """

    outputs: NamedArrays
    model: str
    version: int
    signature: str
    release: Callable[[], None] = _nothing
