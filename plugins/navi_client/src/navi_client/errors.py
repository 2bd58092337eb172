"""Everything that a client raises about a server; what a caller does wrong is a TypeError or a ValueError."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ClientError", "Code", "DecodeError", "TensorMismatchError", "UnsupportedError"]


class Code(StrEnum):
    """gRPC's status codes, by their names: ``error.code == "NOT_FOUND"`` works, too."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


class ClientError(Exception):
    """A request failed.

    Parameters
    ----------
    message
        The server's words, or gRPC's where no server was reached.
    code
        What kind of failure it is.
    address
        Who was asked; empty: nobody.
    retries
        How many times the request was sent again before this failure.

    Attributes
    ----------
    message, code, address, retries
        See the parameters.
    """

    def __init__(self, message: str, *, code: Code, address: str = "", retries: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.address = address
        self.retries = retries

    def __str__(self) -> str:
        where = f"{self.address}: " if self.address else ""
        after = (
            f" (after {self.retries} {'retry' if self.retries == 1 else 'retries'})" if self.retries else ""
        )
        return f"{where}{self.code}: {self.message}{after}"

    def __reduce__(self) -> tuple[object, ...]:
        # errors cross process pools, and Exception's own way would call the class without its keywords
        return (_restored, (type(self), self.args, self.__dict__))


def _restored(kind: type[ClientError], args: tuple[object, ...], state: dict[str, object]) -> ClientError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UnsupportedError(ClientError):
    """The protocol that this client speaks does not have what was asked for; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=Code.UNIMPLEMENTED)


class DecodeError(ClientError):
    """A server's answer could not be read.

    Parameters
    ----------
    message
        What was expected, and what came.
    tensor
        The output that it is about; empty: the whole answer.
    offset
        Position in bytes where decoding stopped; None where the format has none.
    """

    def __init__(self, message: str, *, tensor: str = "", offset: int | None = None) -> None:
        where = f" (at offset {offset})" if offset is not None else ""
        super().__init__(f"{message}{where}", code=Code.INTERNAL)
        self.tensor = tensor
        self.offset = offset


class TensorMismatchError(DecodeError):
    """An output has more or less data than its shape says.

    Parameters
    ----------
    tensor
        The output.
    what
        ``size`` (bytes) or ``values``.
    expected, got
        Texts.
    """

    def __init__(self, *, tensor: str, what: str, expected: str, got: str) -> None:
        super().__init__(f"output '{tensor}': expected {what} {expected}, got {got}", tensor=tensor)
