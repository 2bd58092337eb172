"""The half of the service suite about what handlers answer."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import pytest

from navi_core.errors import (
    ConfigError,
    DeadlineExceededError,
    DecodeError,
    DrainingError,
    ErrorCode,
    InferenceError,
    InputNamesError,
    InvalidRequestError,
    LabelNotFoundError,
    LifecycleError,
    ModelConflictError,
    ModelLoadError,
    ModelNotFoundError,
    ModelNotReadyError,
    NaviError,
    OutputNamesError,
    PluginNotFoundError,
    QueueFullError,
    RequestCancelledError,
    SignatureNotFoundError,
    StaleRequestError,
    TensorMismatchError,
    UnsupportedError,
    VersionNotFoundError,
)
from navi_core.testing.hostile import hostile_bodies
from navi_core.testing.service_cases import ServiceCases, check_reply_text
from navi_core.testing.service_stage import MODEL, Reply, Sample, Stage, Target

__all__ = ["CallCases"]

_HOSTILE_NAMES: Final = ("", " ", "\0", 'a"b\n<c>', "../..", "a/b:c", "\U0001f389", "%", "%ff", "x" * 5000)

_CALLERS_FAULT: Final = (ErrorCode.INVALID_ARGUMENT, ErrorCode.NOT_FOUND)


def _errors() -> Iterator[NaviError]:
    """Yield an error of every code, then one of every class that an inference can end with."""
    for code in ErrorCode:
        if code is not ErrorCode.OK:
            yield NaviError(f"an error of code {code}", code=code)
    names = {"expected": ("x",), "got": ("z",), "missing": ("x",), "extra": ("z",), "model": MODEL}
    yield InputNamesError(**names)  # type: ignore[arg-type]  # texts and tuples of texts, as it wants them
    yield OutputNamesError("z", expected=("y",), model=MODEL)
    yield TensorMismatchError(tensor="x", what="dtype", expected="float32", got="int64", model=MODEL)
    yield TensorMismatchError(tensor="x", what="shape", expected="(?,)", got="(1, 2)", model=MODEL)
    yield SignatureNotFoundError("other", model=MODEL, known=("serving_default",))
    yield ModelNotFoundError(MODEL)
    yield VersionNotFoundError(MODEL, 7)
    yield LabelNotFoundError(MODEL, "stable")
    yield ModelNotReadyError("the model is not loaded yet", model=MODEL)
    yield ModelLoadError("the model cannot be loaded", model=MODEL)
    yield ModelConflictError("the name is taken", model=MODEL)
    yield QueueFullError(limit="rows", maximum=64, model=MODEL)
    yield StaleRequestError("the request waited too long")
    yield DrainingError()
    yield DeadlineExceededError("the deadline passed in the queue", reason="queue")
    yield RequestCancelledError("the caller has gone")
    yield DecodeError("a payload is malformed", offset=12, row=0, model=MODEL)
    yield InvalidRequestError("the request is malformed")
    yield UnsupportedError("this cannot be done")
    yield InferenceError("the framework failed", model=MODEL)
    yield InferenceError("out of memory", model=MODEL, out_of_memory=True, code=ErrorCode.RESOURCE_EXHAUSTED)
    yield LifecycleError("a bug of the host's")
    yield ConfigError("a setting is wrong", path="models[0]")
    yield PluginNotFoundError("there is no such plugin")


class CallCases(ServiceCases):
    """What holds for every call."""

    def test_samples_are_answered(self) -> None:
        """Every sample gets an answer; handles, answers and watchers are given back."""
        stage = self._stage()

        async def case() -> None:
            for target, sample in self._good(stage):
                reply = await stage.ask(target, sample)
                assert reply.is_ok, f"{target.where}: expected an answer, got {reply}"
                _check_given_back(stage, target.where)

        self._run(case)

    def test_samples_are_answered_side_by_side(self) -> None:
        """Calls do not see each other."""
        stage = self._stage()

        async def case() -> None:
            good = list(self._good(stage))
            alone = [await stage.ask(target, sample) for target, sample in good]
            together = await asyncio.gather(*(stage.ask(*each) for _ in range(10) for each in good))
            for (target, _), expected, got in zip(good * 10, alone * 10, together, strict=True):
                assert got == expected, f"{target.where}: another answer beside other calls"
            _check_given_back(stage, "all samples")

        self._run(case)

    def test_an_unknown_model_is_not_found(self) -> None:
        """The protocol's status for it, and a text that names the model."""
        stage = self._stage()
        known, unknown = self._samples(), self._samples(self.unknown_model)
        assert len(known) == len(unknown), "samples() must have the same requests for every model"
        about = [
            (where, sample)
            for before, (where, sample) in zip(known.items(), unknown.items(), strict=True)
            if before != (where, sample) and sample is not None
        ]
        if not about:
            pytest.skip("no sample names a model")

        async def case() -> None:
            for where, sample in about:
                assert sample is not None
                reply = await self._ask(stage, stage.target(where), sample, "an unknown model")
                assert self.says_not_found(where, reply), (
                    f"{where}: expected the protocol's word for 'not found' and the model's name, got {reply}"
                )

        self._run(case)

    def test_any_bytes_get_an_answer_of_the_protocol(self) -> None:
        """Noise, damage and known attacks: an answer or the caller's error, never an exception or a bug."""
        stage = self._stage()

        async def case() -> None:
            for target, sample in self._good(stage):
                for what, body in hostile_bodies(sample.body, self.seed):
                    damaged = Sample(body=body, metadata=sample.metadata)
                    reply = await self._ask(stage, target, damaged, what)
                    assert not reply.blames_the_server, (
                        f"{target.where}, {what}: the server calls it a bug of its own: {reply}"
                    )

        self._run(case)

    def test_any_model_name_gets_an_answer_of_the_protocol(self) -> None:
        """Names that nobody would give a model are unknown ones."""
        stage = self._stage()

        async def case() -> None:
            for name in _HOSTILE_NAMES:
                raw, quoted = self._samples(name), self._samples(quote(name, safe=""))
                for known, plain, escaped in zip(self._samples(), raw, quoted, strict=True):
                    where = plain if known.startswith("/") else escaped  # raw paths are percent-encoded
                    sample = raw[plain] if known.startswith("/") else quoted[escaped]
                    if sample is None or (not where.startswith("/") and stage.route(where)[0] is None):
                        continue
                    reply = await self._ask(stage, stage.target(where), sample, f"model {name[:20]!r}")
                    assert not reply.blames_the_server, f"{where[:99]}, model {name[:20]!r}: got {reply}"

        self._run(case)

    def test_any_error_is_worded(self) -> None:
        """The table from navi's codes to the protocol's is total, and tells the caller's fault from ours."""
        stage = self._stage()

        async def case() -> None:
            for target, sample in self._inferring(stage):
                for error in _errors():
                    stage.plane.error = error
                    reply = await self._ask(stage, target, sample, repr(error))
                    assert stage.plane.requests, f"{target.where}: the sample did not reach the data plane"
                    assert not reply.is_ok, f"{target.where}: {error!r} became an answer: {reply}"
                    if type(error) is NaviError:
                        assert error.message in reply.text, f"{target.where}: {error!r} became {reply}"
                        if error.code in _CALLERS_FAULT:
                            assert not reply.blames_the_server, f"{target.where}: {error!r} became {reply}"
                    stage.plane.error = None
                reply = await stage.ask(target, sample)
                assert reply.is_ok, f"{target.where}: after errors, a good request got {reply}"

        self._run(case)

    def test_inferences_are_counted_once(self) -> None:
        """Every inference request reaches the data plane, or it is told what was refused: never both."""
        stage = self._stage()

        async def case() -> None:
            for target, sample in self._inferring(stage):
                for what, body in (("a good body", sample.body), *hostile_bodies(sample.body, self.seed)):
                    before = len(stage.plane.requests) + stage.plane.num_refused
                    await self._ask(stage, target, Sample(body=body, metadata=sample.metadata), what)
                    counted = len(stage.plane.requests) + stage.plane.num_refused - before
                    assert counted == 1, f"{target.where}, {what}: counted {counted} times"

        self._run(case)

    def test_a_deadline_reaches_the_data_plane(self) -> None:
        """The caller's deadline is the request's."""
        stage = self._stage()
        deadline = stage.clock.now() + 7.5

        async def case() -> None:
            for target, sample in self._inferring(stage):
                await stage.ask(target, sample, deadline)
                assert stage.plane.requests, f"{target.where}: the sample did not reach the data plane"
                got = stage.plane.requests[-1].deadline
                assert got == deadline, f"{target.where}: expected the deadline {deadline}, got {got}"

        self._run(case)

    def test_a_cancel_passes_through(self) -> None:
        """A handler whose caller goes ends at once, and gives back what it holds."""
        stage = self._stage()

        async def case() -> None:
            for target, sample in self._inferring(stage):
                stage.plane.held = True
                asked = asyncio.ensure_future(stage.ask(target, sample))
                for _ in range(10):  # on its way to the data plane nothing but the plane is awaited
                    await asyncio.sleep(0)
                assert not asked.done(), f"{target.where}: answered without the data plane: {asked.result()}"
                asked.cancel()
                await asyncio.wait([asked])
                assert asked.cancelled(), f"{target.where}: a cancel was swallowed"
                stage.plane.held = False
                _check_given_back(stage, target.where)
                assert (await stage.ask(target, sample)).is_ok, f"{target.where}: no answer after a cancel"

        self._run(case)

    async def _ask(self, stage: Stage, target: Target, sample: Sample, what: str) -> Reply:
        """Ask for what may be refused; whatever a handler raises fails the case, with the law that it broke."""
        where = f"{target.where}, {what}"
        failure: Exception | None = None
        try:
            reply = await stage.ask(target, sample)
        except AssertionError:
            raise
        except Exception as error:
            failure = error
        if failure is not None:
            pytest.fail(
                f"a service words every error, but a handler raised {type(failure).__name__}: {failure} ({where})"
            )
        check_reply_text(where, reply)
        _check_given_back(stage, where)
        return reply


def _check_given_back(stage: Stage, where: str) -> None:
    plane = stage.plane
    assert plane.open_handles == 0, f"{where}: a model's handle was not given back"
    assert plane.open_answers == 0, f"{where}: an answer was not released"
    assert plane.num_watchers == 0, f"{where}: a callback was not taken back"
