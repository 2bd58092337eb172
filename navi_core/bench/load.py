"""What is asked of an engine, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, TypeAlias

import msgspec

from navi_core.bench.schedule import Arrival
from navi_core.bench.tally import Tally

__all__ = ["Engine", "LoadPlan", "OnProgress", "Outcome", "Target"]

OnProgress: TypeAlias = Callable[[float, int], None]
"""Takes what part of the run is over, 0 to 1, and how many requests ended."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A listener, and the one request that it is sent again and again.

    Attributes
    ----------
    scheme
        What is spoken: gRPC over HTTP/2, or HTTP/1.1.
    host, port, tls
        Where.
    path
        The RPC's name or the URL's path; both begin with a slash.
    headers
        HTTP headers or gRPC metadata of the request, the token left out.
    body
        The serialized message, or the HTTP body.
    token
        Sent as a bearer token; it never stands in another program's arguments.
    ca_file, cert_file, key_file
        PEM files, for TLS.
    protocol
        The exchange's name, which reads answers.
    """

    scheme: Literal["grpc", "http"]
    host: str
    port: int
    tls: bool = False
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes
    token: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    protocol: str

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As HTTP programs are told it."""
        return f"{'https' if self.tls else 'http'}://{self.address}{self.path}"

    @property
    def all_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers with the token."""
        token = () if self.token is None else (("authorization", f"Bearer {self.token}"),)
        return (*self.headers, *token)


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement.

    Attributes
    ----------
    concurrency
        Closed loop: how many requests are in flight at any time. Open loop: at most so many; later ones wait, and
        their wait counts.
    rate_per_s
        Open loop: how many requests are due a second; None: closed loop.
    arrival, seed
        Open loop: how they are spread.
    connections
        Connections that the requests share; HTTP/1.1 has one for each request in flight.
    warm_up_s
        How long before anything counts.
    duration_s
        How long the measurement lasts; None: until ``num_requests`` are answered.
    num_requests
        How many requests count.
    timeout_s
        How long one answer may take.
    """

    concurrency: int
    rate_per_s: float | None = None
    arrival: Arrival = "constant"
    seed: int = 0
    connections: int
    warm_up_s: float = 0.0
    duration_s: float | None = None
    num_requests: int | None = None
    timeout_s: float = 30.0


class Outcome(msgspec.Struct, kw_only=True):
    """What came of a plan.

    Attributes
    ----------
    tally
        The requests that count.
    elapsed_s
        How long those took together.
    is_complete
        Whether the plan was carried out to its end; a person may interrupt it.
    processes
        How many processes or threads of the generator there were.
    notes
        What is to be known of these figures.
    answer_bytes
        The bytes of all answers without their headers, where the engine counts them instead of reading them.
    num_failed_timed
        How many of the latencies are of answers that were failures, where the engine keeps all in one.
    """

    tally: Tally
    elapsed_s: float
    is_complete: bool = True
    processes: int = 1
    notes: tuple[str, ...] = ()
    answer_bytes: int | None = None
    num_failed_timed: int = 0


class Engine(ABC):
    """Sends requests and measures how long their answers take."""

    name: ClassVar[str]

    @abstractmethod
    def why_not(self, target: Target, plan: LoadPlan) -> str:
        """Say why it cannot carry out a plan; empty: it can."""

    @abstractmethod
    def run(self, target: Target, plan: LoadPlan, on_progress: OnProgress) -> Outcome:
        """Carry out a plan. It blocks; an interrupt (Ctrl-C) ends it early, and what was measured is returned.

        Raises
        ------
        RemoteError
            Nothing could be sent.
        """
