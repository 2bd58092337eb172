"""RemoteClient: how the commands of navi-host ask a server of models, whichever protocol it speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from navi_core.messages import ModelRef
from navi_core.signature import Signature
from navi_core.types import NamedArrays

__all__ = ["Endpoint", "Prediction", "RemoteClient", "RemoteVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One listener of a running server, and how it is asked.

    Parameters
    ----------
    host, port
        Where it listens.
    tls
        Whether the connection is encrypted.
    ca_file, cert_file, key_file
        PEM files, looked at before: who signed the server's certificate, and who we are; None: whom the system trusts, and nobody.
    token
        Sent with every request as a bearer token; None: none is.
    timeout_s
        How long an answer may take, with all retries.
    max_retries
        How often a request that failed for a passing reason is sent again; None: as the client thinks best.
    """

    host: str
    port: int
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0
    max_retries: int | None = None

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """One version's state, as a server says it.

    Parameters
    ----------
    model, version
        Which; a model that has no version yet has one entry without a number. A text where the protocol's versions
        are texts, and this one is no number.
    state
        The state's name.
    error
        Why it ended, where it ended badly.
    labels
        The version labels that point here, where the protocol says them.
    """

    model: str
    version: int | str | None
    state: str
    error: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer; ``version`` is None where the protocol does not say it."""

    outputs: NamedArrays
    version: int | str | None


class RemoteClient(ABC):
    """Asks a server over one protocol and one transport. It blocks; one thread uses it. A context manager.

    What a server answers with, and that it cannot be reached, is a :class:`~navi_core.RemoteError`; what the protocol
    does not have is an :class:`~navi_core.UnsupportedError`, before anything is sent.

    Attributes
    ----------
    name
        ``PROTOCOL+SCHEME``, such as ``oip+grpc``; unique. URLs name the scheme, with an ``s`` behind it for TLS.
    default_port
        The port of a URL without one.
    """

    name: ClassVar[str]
    default_port: ClassVar[int]

    @classmethod
    @abstractmethod
    def connect(cls, endpoint: Endpoint) -> RemoteClient:
        """Make a client; the connection may be opened later. Libraries are imported here.

        Raises
        ------
        OSError
            A file of the endpoint cannot be read.
        UnsupportedError
            It cannot do what the endpoint asks for.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection. Idempotent."""

    @abstractmethod
    def models(self, names: Sequence[str]) -> Sequence[RemoteVersion]:
        """Return the versions of these models; of all when none is named."""

    @abstractmethod
    def signatures(self, model: ModelRef) -> Mapping[str, Signature]:
        """Return the signatures of the version that a request would go to.

        A protocol without signatures has one, called ``serving_default``.
        """

    @abstractmethod
    def predict(self, model: ModelRef, inputs: NamedArrays, signature: str) -> Prediction:
        """Send one request, for a signature that :meth:`signatures` names."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
