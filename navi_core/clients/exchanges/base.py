"""What an exchange is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from navi_core.messages import ModelRef
from navi_core.types import Array, NamedArrays

__all__ = ["JSON_HEADERS", "Exchange", "RecordedRequest"]

JSON_HEADERS: Final = (("content-type", "application/json"),)


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request, ready to be sent any number of times.

    Parameters
    ----------
    path
        The RPC's name or the URL's path; both begin with a slash.
    body
        The serialized message, or the HTTP body.
    headers
        What a server wants to be told beside it.
    """

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Exchange(ABC):
    """A protocol's prediction over one kind of connection.

    Attributes
    ----------
    name
        That of the client which speaks it: ``oip+grpc``.
    scheme
        What carries it.
    """

    name: ClassVar[str]
    scheme: ClassVar[Literal["grpc", "http"]]

    @abstractmethod
    def record(self, model: ModelRef, inputs: NamedArrays, signature_name: str) -> RecordedRequest:
        """Write a request.

        Parameters
        ----------
        model
            Whom it is for.
        inputs
            Input name -> array, any dtype that the protocol carries.
        signature_name
            Which of the model's signatures.

        Raises
        ------
        UnsupportedError
            The protocol has no way to say this.
        """

    @abstractmethod
    def read(self, body: bytes) -> dict[str, Array]:
        """Read the tensors of an answer that is no failure.

        Raises
        ------
        DecodeError
            It is none.
        """
