"""Recorded requests: run those that a version brings along, before it turns available.

The file is TensorFlow Serving's ``assets.extra/tf_serving_warmup_requests``, and its rules are: at most 1000
records, and whatever fails, fails the load. The requests go the way of all others: decoded by the protocol's
codec, checked against the signature, planned and filled by the converter, run.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, Final

import structlog

from navi_core.batching.buffers import BufferPool
from navi_core.batching.execution import Steps, batch_steps
from navi_core.batching.preparing import prepare
from navi_core.batching.tasks import BatchReport, Outcome, Task
from navi_core.config.records import WarmupSettings
from navi_core.contracts.artifact import Artifact
from navi_core.errors import (
    ErrorCode,
    InvalidRequestError,
    ModelLoadError,
    NaviError,
    SignatureNotFoundError,
)
from navi_core.messages import InferenceRequest
from navi_core.models.served import LoadedVersion
from navi_core.models.warmup import run_now
from navi_core.signature import DEFAULT_SIGNATURE, examples_input
from navi_core.types import NamedArrays
from navi_core.wire.prediction_log import RecordedCall, parse_prediction_log
from navi_core.wire.tf_record import read_records

__all__ = ["MAX_RECORDS", "RECORDS_FILE", "Replay", "replay"]

log = structlog.get_logger(__name__)

RECORDS_FILE: Final = "assets.extra/tf_serving_warmup_requests"
"""Where TensorFlow Serving looks."""

MAX_RECORDS: Final = 1000
"""A file of more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How the recorded requests of one version went.

    Parameters
    ----------
    path
        The version's directory.
    num_records
        Records that were run.
    seconds
        What it took.
    code
        OK, or why the version is not loaded.
    """

    path: str
    num_records: int
    seconds: float
    code: ErrorCode


def replay(
    loaded: LoadedVersion, settings: WarmupSettings, on_done: Callable[[Replay], None] | None = None
) -> str:
    """Run a version's recorded requests; blocking, on a loader thread.

    Parameters
    ----------
    loaded
        The version, complete.
    settings
        Its warm-up.
    on_done
        Told how it ended, unless there are no recorded requests.

    Returns
    -------
    note
        What a person should know; empty where there was nothing to run.

    Raises
    ------
    ModelLoadError
        A record could not be read or run; names it and says why, with the cause's code.
    """
    name = _records_file(settings)
    if not name:
        return ""
    with _open(loaded.artifact, name, must_exist=settings.records is not None) as opened:
        if opened is None:
            return ""
        started = time.monotonic()
        session = _Session(loaded, settings, name)
        code = ErrorCode.OK
        try:
            session.run(*opened)
        except ModelLoadError as error:
            code = error.code
            raise
        finally:
            seconds = time.monotonic() - started
            if on_done is not None:
                on_done(
                    Replay(
                        path=loaded.artifact.where, num_records=session.num_run, seconds=seconds, code=code
                    )
                )
    log.info(
        "requests_replayed",
        model=loaded.artifact.name,
        records=session.num_run,
        seconds=round(seconds, 3),
    )
    requests = "request" if session.num_run == 1 else "requests"
    return f"warmed up with {session.num_run} recorded {requests} of {name} in {seconds:.3g} s"


def _records_file(settings: WarmupSettings) -> str:
    """Return the file's name within the version; empty: nothing is to be run."""
    if settings.enabled is False or settings.records is False or settings.max_records == 0:
        return ""
    return settings.records if isinstance(settings.records, str) else RECORDS_FILE


@contextmanager
def _open(artifact: Artifact, name: str, *, must_exist: bool) -> Iterator[tuple[BinaryIO, int] | None]:
    """Open the file; yields the stream and its size, or None where there is none and none has to be."""
    if artifact.files is not None:
        content = artifact.files.get(name)
        if content is not None:
            yield io.BytesIO(content), len(content)
            return
    elif artifact.path is not None and artifact.path.is_dir():
        file = artifact.path / name
        if file.is_file():  # opening a pipe may never return
            try:
                stream = file.open("rb")
            except OSError as error:
                text = f"{name}: {_message(error)}"
                raise _load_error(artifact, text, ErrorCode.FAILED_PRECONDITION) from error
            with stream:
                yield stream, os.fstat(stream.fileno()).st_size
            return
    if must_exist:
        msg = f"expected recorded requests in the file '{name}' of {artifact.where}, got no such file"
        raise _load_error(artifact, msg, ErrorCode.FAILED_PRECONDITION)
    yield None


def _load_error(artifact: Artifact, text: str, code: ErrorCode) -> ModelLoadError:
    msg = f"version {artifact.version} of model '{artifact.name}': warm-up: {text}"
    return ModelLoadError(msg, model=artifact.name, version=artifact.version, code=code)


def _message(error: NaviError | OSError) -> str:
    return error.message if isinstance(error, NaviError) else error.strerror or type(error).__name__


class _Session:
    """One reading of the file."""

    def __init__(self, loaded: LoadedVersion, settings: WarmupSettings, name: str) -> None:
        self._loaded = loaded
        self._name = name
        self._max_records = settings.max_records
        self._iterations = settings.iterations or 1
        self._pool = BufferPool()
        self.num_run = 0

    def run(self, stream: BinaryIO, size_bytes: int) -> None:
        """Run the records in order; raises ModelLoadError for the first that fails."""
        records = islice(read_records(stream, size_bytes), self._max_records)  # the rest is not even read
        try:
            while (record := next(records, None)) is not None:
                if self.num_run == MAX_RECORDS:
                    raise InvalidRequestError(f"expected at most {MAX_RECORDS} records, got more")
                for call in parse_prediction_log(record):
                    self._run_call(call)
                self.num_run += 1
        except (NaviError, OSError) as error:
            code = error.code if isinstance(error, NaviError) else ErrorCode.FAILED_PRECONDITION
            text = f"record {self.num_run + 1} of {self._name}: {_message(error)}"
            raise _load_error(self._loaded.artifact, text, code) from error

    def _run_call(self, call: RecordedCall) -> None:
        inputs = call.inputs if call.inputs is not None else self._examples_as_input(call)
        request = InferenceRequest(
            inputs=inputs, signature=call.signature, outputs=call.outputs, method=call.method
        )
        for _ in range(self._iterations):
            self._run_request(request)

    def _examples_as_input(self, call: RecordedCall) -> NamedArrays:
        """Give the examples to the one string input that the signature asks for."""
        assert call.examples is not None  # noqa: S101 - a call has one or the other
        name = call.signature or DEFAULT_SIGNATURE
        served = self._loaded.signatures.get(name)
        if served is None:
            model = self._loaded.artifact.name
            raise SignatureNotFoundError(name, model=model, known=tuple(self._loaded.signatures))
        taken = examples_input(served.client)
        if taken is None:
            got = ", ".join(f"{spec.name}: {spec.dtype}" for spec in served.client.inputs.values())
            msg = f"{call.method}: expected a signature with one string input for the examples, got '{name}' with {{{got}}}"
            raise InvalidRequestError(msg, signature=name)
        return {taken.name: call.examples}

    def _run_request(self, request: InferenceRequest) -> None:
        loaded = self._loaded
        prepared = prepare(loaded, request)
        task = Task(inputs=prepared.inputs, plan=prepared.plan, num_rows=prepared.num_rows)
        steps = batch_steps(
            [task],
            served=prepared.served,
            outputs=prepared.outputs,
            parameters=prepared.parameters,
            allowed_rows=loaded.policy.allowed_batch_rows,
            pool=self._pool,
            report=BatchReport(),
            model=loaded.artifact.name,
        )
        (outcome,) = self._drive(steps, prepared.served.name, prepared.outputs)
        if outcome.lease is not None:
            outcome.lease.release()
        if outcome.error is not None:
            raise outcome.error

    def _drive(self, steps: Steps, signature: str, outputs: tuple[str, ...]) -> list[Outcome]:
        try:
            run = next(steps)
            while True:
                try:
                    result = run_now(self._loaded.servable, signature, run.inputs, outputs, run.context)
                except Exception as error:
                    run = steps.throw(error)
                else:
                    run = steps.send(result)
        except StopIteration as stop:
            outcomes: list[Outcome] = stop.value
            return outcomes
