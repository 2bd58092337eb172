"""What a protocol can be asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from navi_client._generated import grpc_health
from navi_client._generated.descriptors import parse_message
from navi_client.errors import ClientError, Code, UnsupportedError
from navi_client.messages import Class, ListedModel, ModelMetadata, Outputs, Request, Target, VersionStatus
from navi_client.types import Features

__all__ = ["Exchange", "WireProtocol"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Exchange(Generic[T]):
    """One call: what is sent, and how its answer is read.

    Parameters
    ----------
    method
        The RPC, ``/package.Service/Method``.
    body
        The request.
    read
        Reads the answer; raises DecodeError.
    failures
        Failures that are answers, too: "not found" answers "is it ready?".
    """

    method: str
    body: bytes
    read: Callable[[bytes], T]
    failures: Mapping[Code, T] = field(default_factory=dict)


class WireProtocol(ABC):
    """A protocol. What it does not have raises UnsupportedError before anything is sent.

    Parameters
    ----------
    max_tensor_bytes
        The largest tensor that an answer may hold.

    Attributes
    ----------
    name
        How a client is told to speak it.
    title
        How people call it.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, max_tensor_bytes: int) -> None:
        self._max_tensor_bytes = max_tensor_bytes

    @abstractmethod
    def predict(self, request: Request) -> Exchange[Outputs]:
        """Ask for a prediction."""

    def classify(
        self, target: Target, examples: Sequence[bytes | Features], context: bytes | Features | None
    ) -> Exchange[list[list[Class]]]:
        """Ask for classes of examples."""
        del target, examples, context
        self._lacks("Classify")

    def regress(
        self, target: Target, examples: Sequence[bytes | Features], context: bytes | Features | None
    ) -> Exchange[NDArray[np.float32]]:
        """Ask for values of examples."""
        del target, examples, context
        self._lacks("Regress")

    def metadata(self, target: Target) -> Exchange[ModelMetadata]:
        """Ask what a model takes and gives."""
        del target
        self._lacks("metadata of models")

    def status(self, target: Target) -> Exchange[list[VersionStatus]]:
        """Ask for the states of a model's versions."""
        del target
        self._lacks("states of versions")

    def models(self) -> Exchange[list[ListedModel]]:
        """Ask which models there are."""
        self._lacks("lists of models")

    def live(self) -> Exchange[bool]:
        """Ask whether the server is there: any answer of the health service says so."""
        return Exchange(_HEALTH, b"", _always, {Code.UNIMPLEMENTED: True})

    def ready(self, target: Target | None) -> Exchange[bool]:
        """Ask whether the server, or one model, takes requests."""
        if target is not None:
            self._lacks("readiness of a model")
        return Exchange(_HEALTH, b"", _is_serving)

    def stream_method(self) -> str:
        """Return the RPC that streams requests and answers."""
        self._lacks("streams")

    def stream_request(self, request: Request) -> bytes:
        """Return one message of a stream of requests."""
        del request
        self._lacks("streams")

    def read_stream_answer(self, body: bytes) -> Outputs | ClientError:
        """Read one message of a stream of answers."""
        del body
        self._lacks("streams")

    def _lacks(self, what: str) -> NoReturn:
        raise UnsupportedError(f"{self.title} has no {what}")


_HEALTH = "/grpc.health.v1.Health/Check"


def _always(body: bytes) -> bool:
    del body
    return True


def _is_serving(body: bytes) -> bool:
    serving = grpc_health.HealthCheckResponse.SERVING
    return parse_message(grpc_health.HealthCheckResponse, body).status == serving
