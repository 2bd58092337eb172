"""A run from its first request to its report: the request is recorded, verified, measured and verified again."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from navi_core.bench.answers import AnswerCheck, difference
from navi_core.bench.driving import WRONG
from navi_core.bench.echo import EchoServer
from navi_core.bench.engines import choose_engine
from navi_core.bench.h2load import GRPC_HEAD_BYTES
from navi_core.bench.load import Engine, LoadPlan, OnProgress, Outcome, Target
from navi_core.bench.python_engine import PythonEngine
from navi_core.bench.report import InputFigures, Machine, Measurement, Report, make_measurement
from navi_core.bench.senders import CONNECTION, TIMEOUT, open_sender
from navi_core.clients.exchanges.base import Exchange
from navi_core.contracts.client import Endpoint, RemoteClient
from navi_core.cores import core_count
from navi_core.errors import ErrorCode, RemoteError
from navi_core.messages import ModelRef
from navi_core.tensors import dtype_of
from navi_core.types import NamedArrays

__all__ = ["Session", "Settings"]

_CEILING_S: Final = 1.0
_CEILING_WARM_UP_S: Final = 0.3
_OPEN_CEILING_CONCURRENCY: Final = 64
_CODES: Final = {TIMEOUT: ErrorCode.DEADLINE_EXCEEDED, CONNECTION: ErrorCode.UNAVAILABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run is made.

    Parameters
    ----------
    engine
        One of :data:`navi_core.bench.engines.ENGINES`.
    processes
        Of the generator; None: as it thinks best.
    compares_answers
        Whether answers must be the same all the time.
    measures_ceiling
        Whether the generator that is written in Python is first measured against an echo.
    source
        Where the inputs are from.
    """

    engine: str = "auto"
    processes: int | None = None
    compares_answers: bool = True
    measures_ceiling: bool = True
    source: str = ""


class Session:
    """One model, one request, and measurements with it.

    Parameters
    ----------
    client
        Asks the same server, in the way of a real client.
    exchange
        Writes the request that is recorded.
    endpoint, model, inputs, signature
        Who is asked, and what.
    rows
        Of the request; None: not known.
    settings
        How it is measured.

    Raises
    ------
    RemoteError
        The server does not answer, or a recorded request has another answer than the client's.
    UnsupportedError
        The protocol cannot carry this request.
    """

    def __init__(
        self,
        client: RemoteClient,
        exchange: Exchange,
        endpoint: Endpoint,
        model: ModelRef,
        inputs: NamedArrays,
        signature: str,
        rows: int | None,
        settings: Settings,
    ) -> None:
        self._client = client
        self._exchange = exchange
        self._model = model
        self._inputs = inputs
        self._signature = signature
        self._rows = rows
        self._settings = settings
        self._timeout_s = endpoint.timeout_s
        self._measurements: list[Measurement] = []
        self._engines: set[str] = set()
        self._notes: list[str] = []
        self.target: Final = _target(exchange, endpoint, model, inputs, signature)
        prediction = client.predict(model, inputs, signature)
        self._version = prediction.version
        first, second = self._ask(), self._ask()
        self._answer = first
        self._is_comparable = settings.compares_answers and self._compare(prediction.outputs, first)
        self._answer_size = GRPC_HEAD_BYTES + len(first) if len(first) == len(second) and first else None

    def _compare(self, outputs: NamedArrays, answer: bytes) -> bool:
        """Compare a recorded request's answer with the client's; tell whether answers can be compared at all."""
        wrong = difference(outputs, self._exchange.read(answer))
        if not wrong:
            return True
        again = self._client.predict(self._model, self._inputs, self._signature)
        if difference(outputs, again.outputs):
            self._notes.append(
                "the model answers the same request differently each time: answers are not compared"
            )
            return False
        raise RemoteError(
            f"the recorded request has another answer than the client's: {wrong}", code=ErrorCode.INTERNAL
        )

    def _ask(self) -> bytes:
        code, content = asyncio.run(_ask_once(self.target, self._timeout_s))
        if code:
            text = content.decode("utf-8", "replace")[:300]
            raise RemoteError(
                f"{self.target.address} answered the recorded request with {code}: {text}",
                code=_CODES.get(code, ErrorCode.UNKNOWN),
            )
        return content

    @property
    def _expected(self) -> bytes | None:
        return self._answer if self._is_comparable else None

    def choose(self, plan: LoadPlan) -> Engine:
        """Return the engine for a plan; raises ConfigError where the one that was asked for cannot."""
        settings = self._settings
        return choose_engine(
            settings.engine, self.target, plan, processes=settings.processes, expected=self._expected
        )

    def measure(self, plan: LoadPlan, on_progress: OnProgress) -> Measurement:
        """Carry out a plan, look at an answer again, and keep the figures."""
        engine = self.choose(plan)
        ceiling = self._ceiling(plan) if isinstance(engine, PythonEngine) else None
        outcome = engine.run(self.target, plan, on_progress)
        if not isinstance(engine, PythonEngine):
            self._look_again(outcome)
        found = make_measurement(
            plan,
            outcome,
            engine=engine.name,
            rows=self._rows,
            answer_size=self._answer_size if self._exchange.scheme == "grpc" else None,
            ceiling_per_s=ceiling,
            notes=self._notes,
        )
        self._measurements.append(found)
        self._engines.add(engine.name)
        return found

    def _look_again(self, outcome: Outcome) -> None:
        """Count a wrong or failed answer after a measurement whose engine looks at none."""
        code, content = asyncio.run(_ask_once(self.target, self._timeout_s))
        text = content.decode("utf-8", "replace")
        if not code and self._expected is not None:
            text = AnswerCheck(self._exchange.read, self._expected)(content)
            code = WRONG if text else ""
        if code:
            outcome.tally.fail(outcome.tally.last_ns, code, f"after the measurement: {text}")

    def _ceiling(self, plan: LoadPlan) -> float | None:
        """Return what the Python engine reaches against an echo; None: over TLS it is not known."""
        if not self._settings.measures_ceiling or self.target.tls:
            return None
        is_open = plan.rate_per_s is not None
        concurrency = min(plan.concurrency, _OPEN_CEILING_CONCURRENCY) if is_open else plan.concurrency
        with EchoServer(self.target.scheme, self._answer) as echo:
            target = msgspec.structs.replace(self.target, host=echo.host, port=echo.port, token=None)
            outcome = PythonEngine(self._settings.processes, self._expected).run(
                target,
                LoadPlan(
                    concurrency=concurrency,
                    connections=min(plan.connections, concurrency),
                    warm_up_s=_CEILING_WARM_UP_S,
                    duration_s=_CEILING_S,
                    timeout_s=plan.timeout_s,
                ),
                lambda _part, _ended: None,
            )
        if not outcome.is_complete:
            raise KeyboardInterrupt
        return outcome.tally.num_succeeded / outcome.elapsed_s if outcome.elapsed_s else None

    def report(self) -> Report:
        """Return what was measured so far."""
        if not self._is_comparable:
            checked = "none"
        else:
            checked = "each answer" if self._engines == {PythonEngine.name} else "before and after"
        return Report(
            made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            navi=importlib.metadata.version("navi-core"),
            model=self._model.name,
            version=self._version,
            signature=self._signature,
            protocol=self._exchange.name,
            address=self.target.address,
            machine=Machine(core_count(), platform.platform(), platform.python_version()),
            inputs=tuple(
                InputFigures(name, str(dtype_of(array)), array.shape) for name, array in self._inputs.items()
            ),
            request_bytes=len(self.target.body),
            answer_bytes=len(self._answer),
            source=self._settings.source,
            checked=checked,
            measurements=tuple(self._measurements),
        )


def _target(
    exchange: Exchange, endpoint: Endpoint, model: ModelRef, inputs: NamedArrays, signature: str
) -> Target:
    request = exchange.record(model, inputs, signature)

    def name(path: Path | None) -> str | None:
        return None if path is None else str(path)

    return Target(
        scheme=exchange.scheme,
        host=endpoint.host,
        port=endpoint.port,
        tls=endpoint.tls,
        path=request.path,
        headers=request.headers,
        body=request.body,
        token=endpoint.token,
        ca_file=name(endpoint.ca_file),
        cert_file=name(endpoint.cert_file),
        key_file=name(endpoint.key_file),
        protocol=exchange.name,
    )


async def _ask_once(target: Target, timeout_s: float) -> tuple[str, bytes]:
    sender = open_sender(target, 1, 1, timeout_s)
    try:
        await sender.open()
        return await sender.send(0)
    except OSError as error:
        return CONNECTION, str(error).encode()
    finally:
        await sender.close()
