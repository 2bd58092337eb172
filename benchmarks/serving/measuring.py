"""One server's turn: started, its answers compared with onnxruntime's, loaded, looked at, stopped."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import load
import numpy as np
from cases import Case, Question
from forms import FORMS, Form
from processes import StartError, free_port, last_words, processor_s, resident_mb, running
from servers import FIXED_ANSWER, Place, Server
from stages import shares

START_LIMIT_S = 60


class Turns:
    """A lock on a file, which others who measure on this machine take, too; given back between turns, now and then."""

    def __init__(self, path: Path | None, hold_s: float = 150.0) -> None:
        self._stream = path.open("w") if path else None
        self._hold_s = hold_s
        self._since: float | None = None

    @contextlib.contextmanager
    def mine(self) -> Iterator[None]:
        """Have the lock during a turn, and keep it for the next one unless it was held for long."""
        if self._stream and self._since is None:
            fcntl.flock(self._stream, fcntl.LOCK_EX)
            self._since = time.monotonic()
        try:
            yield
        finally:
            if self._stream and self._since and time.monotonic() - self._since > self._hold_s:
                fcntl.flock(self._stream, fcntl.LOCK_UN)
                self._since = None


class WrongAnswerError(Exception):
    """A server does not answer what onnxruntime answers."""


@dataclass(frozen=True)
class World:
    """What all turns share."""

    folder: Path
    questions: Mapping[str, Question]  # by model
    cases: Sequence[Case]
    seconds: float  # of a load of the small model; one of the large model takes twice as long
    triton_dir: Path | None
    turns: Turns
    messages: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def message(self, form: Form, model: str) -> bytes:
        """Return what is asked of a model; made once, since large ones take a while."""
        key = (form.title, model)
        if key not in self.messages:
            self.messages[key] = form.encode(model, self.questions[model].x)
        return self.messages[key]

    @property
    def models(self) -> Path:
        return self.folder / "models"


def cores() -> tuple[int, int]:
    """Return a core for the server and one for the load generator."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise StartError("server and load generator need a core each")
    return mine[0], mine[-1]


@contextlib.contextmanager
def serving(server: Server, world: World) -> Iterator[tuple[Place, subprocess.Popen[bytes], float]]:
    """Run a server; yield where it is, its process, and how long it took until it answered."""
    grpc_port = free_port()
    ports = {"grpc": grpc_port, "http": grpc_port if server.one_port else free_port()}
    place = Place(ports, world.models, world.folder, world.triton_dir)
    command = server.command(place)
    own, other = cores()
    log = world.folder / "server.log"
    chosen = [own] if server.cores == "one" else sorted({own, other})
    with world.turns.mine():
        begun = time.perf_counter()
        with running(_pinned(command, chosen), log=log, environ=server.environ) as process:
            _wait_for_answer(server, world, place, process, log)
            yield place, process, time.perf_counter() - begun


def turn(server: Server, world: World) -> dict[str, Any]:
    """Measure one server once: ``rows`` by endpoint and case, ``start_s``, ``resident_mb``."""
    with serving(server, world) as (place, process, start_s):
        found: dict[str, Any] = {"start_s": start_s}
        rows: dict[str, dict[str, Any]] = {row: {} for row in server.endpoints}
        failures: dict[str, str] = {}
        for case in sorted(world.cases, key=lambda case: case.model != "mlp"):
            if case.model != "mlp" and "resident_mb" not in found:
                found["resident_mb"] = _memory_mb(process)  # before large bodies
            for row, name in server.endpoints.items():
                form = FORMS[name]
                try:
                    size = _verify(server, form, place, world, case)
                    figures = _load(form, place, world, case, process.pid, size)
                    _verify(
                        server, form, place, world, case
                    )  # h2load counts no request that a dead server took along
                    rows[row][case.name] = figures
                except load.LoadError as error:
                    failures[f"{row}, {case.name}"] = str(error)
                except WrongAnswerError as error:  # after a load that failed: it may have ended then
                    before = "; ".join(f"{at}: {why}" for at, why in failures.items())
                    raise WrongAnswerError(f"{before}; then {error}" if before else str(error)) from None
        found.setdefault("resident_mb", _memory_mb(process))
    return {**found, "rows": rows, "failures": failures}


def sampled(server: Server, row: str, world: World, case: Case) -> tuple[float, dict[str, float]]:
    """Return the processor's microseconds of a request, and the parts that stages have in it, by py-spy.

    Raises
    ------
    StartError
        py-spy could not look into the server.
    """
    form = FORMS[server.endpoints[row]]
    with serving(server, world) as (place, process, _):
        size = _verify(server, form, place, world, case)
        found = _load(form, place, world, case, process.pid, size)
        samples = world.folder / "samples"
        options = ["--format", "raw", "--full-filenames", "--rate", "500", "--nonblocking", "--subprocesses"]
        command = [
            "py-spy",
            "record",
            *options,
            "--duration",
            f"{world.seconds:.0f}",
            "--output",
            str(samples),
        ]
        # taskset has become the server: this is its own process
        with subprocess.Popen(
            [*command, "--pid", str(process.pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as spy:
            _generate(form, place, world, case, world.seconds)
            said = spy.communicate()[0]
        if not samples.exists():
            raise StartError(f"py-spy: {said[-200:]}")
    return found["server_us_per_request"], shares(samples.read_text().splitlines())


def _pinned(command: Sequence[str], chosen: Sequence[int]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, chosen)), *command]


def _port(form: Form, place: Place) -> int:
    return place.ports[form.protocol]


def _memory_mb(process: subprocess.Popen[bytes]) -> float:
    """Return what a server holds, which may have gone under its load."""
    held = resident_mb(process.pid) if process.poll() is None else None
    if held is None:
        raise load.LoadError("it ended while it was asked")
    return held


def _wait_for_answer(
    server: Server, world: World, place: Place, process: subprocess.Popen[bytes], log: Path
) -> None:
    """Ask until the first right answer; time counts from the start of the process."""
    form = FORMS[next(iter(server.endpoints.values()))]
    model = world.cases[0].model
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            form.ask(_port(form, place), model, world.message(form, model), timeout_s=5)
        except Exception as error:
            if process.poll() is not None:
                raise StartError(f"ended at once: {last_words(log)}") from None
            if time.monotonic() > end:
                raise StartError(f"no answer within {START_LIMIT_S} s: {error}"[:300]) from None
            time.sleep(0.01)
        else:
            return


def _verify(server: Server, form: Form, place: Place, world: World, case: Case) -> int:
    """Compare an answer with onnxruntime's own; return the answer's size on the wire."""
    asked = world.questions[case.model]
    try:
        message = form.ask(_port(form, place), case.model, world.message(form, case.model))
    except (OSError, grpc.RpcError, http.client.HTTPException) as error:
        said = error.details() if isinstance(error, grpc.RpcError) else error
        raise WrongAnswerError(" ".join(f"{form.title}, {case.name}: {said}".split())[:300]) from None
    if server.answers == "prediction":
        y = form.decode(message, asked.y.shape)
        if not np.allclose(y, asked.y, rtol=1e-4, atol=1e-5):
            raise WrongAnswerError(f"{form.title}: at most {np.abs(y - asked.y).max()} off, {case.model}")
    elif message != (FIXED_ANSWER if server.answers == "fixed" else world.message(form, case.model)):
        raise WrongAnswerError(f"{form.title}: other bytes than those of {server.name} came back")
    return len(message) + 5 * (form.protocol == "grpc")


def _load(form: Form, place: Place, world: World, case: Case, process: int, size: int) -> dict[str, float]:
    """Put one load on a server; every answer has the size of the one that was compared."""
    seconds = world.seconds * (1 if case.model == "mlp" else 2)
    _generate(form, place, world, case, seconds / 5)
    used, begun = processor_s(process), time.perf_counter()
    output, log, generator_s = _generate(form, place, world, case, seconds)
    taken, used = time.perf_counter() - begun, processor_s(process) - used
    found = load.parse(output, log, seconds)
    # h2load takes an error of gRPC for a success: its body is empty. Answers that the end cut off count in part.
    if not size <= found.answer_bytes <= size * (1 + 2 * case.in_flight / found.requests) + 1:
        raise WrongAnswerError(
            f"{form.title}, {case.name}: answers of {found.answer_bytes:.1f} bytes under load, not {size}"
        )
    server_us = used / found.requests * 1e6
    return {**asdict(found), "generator_busy": generator_s / taken, "server_us_per_request": server_us}


def _generate(
    form: Form, place: Place, world: World, case: Case, seconds: float
) -> tuple[str, list[str], float]:
    """Run h2load; return what it printed, what it logged, and the processor time that it took."""
    body, log = world.folder / "body", world.folder / "h2load.log"
    body.write_bytes(form.framed(world.message(form, case.model)))
    log.unlink(missing_ok=True)
    command = load.command(
        protocol=form.protocol,
        url=f"http://127.0.0.1:{_port(form, place)}{form.path_of(case.model)}",
        body=str(body),
        log=str(log),
        in_flight=case.in_flight,
        seconds=seconds,
    )
    pinned = _pinned(command, [cores()[1]])
    with subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as generator:
        output = generator.stdout.read()
        _, status, usage = os.wait4(generator.pid, 0)
        generator.returncode = os.waitstatus_to_exitcode(status)
    if generator.returncode:
        raise load.LoadError(f"h2load ended with {generator.returncode}: {output[-300:]}")
    return output, log.read_text().splitlines(), usage.ru_utime + usage.ru_stime
