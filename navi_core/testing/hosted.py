"""A model under observation in an in-process host: runs can be held, and are counted."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, cast

import pytest

from navi_core.config.records import HostConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.converter import Converter
from navi_core.contracts.runtime import LoadOptions, RunContext, Runtime, Servable
from navi_core.errors import ErrorCode, NaviError
from navi_core.host import Host
from navi_core.testing.error_text import check_text
from navi_core.testing.registries import registry_of
from navi_core.types import NamedArrays

__all__ = ["Gate", "Hosted", "hosted"]

_LONGEST_S = 60.0


class Gate:
    """Where runs pass on their way into the servable; open until it is shut.

    Attributes
    ----------
    requests
        How many requests each run that passed was made of, oldest first; 0: the run was not batched.
    """

    def __init__(self) -> None:
        self.requests: list[int] = []
        self._is_open = threading.Event()
        self._is_open.set()
        self._came = threading.Event()

    @property
    def is_open(self) -> bool:
        """Whether runs pass."""
        return self._is_open.is_set()

    def shut(self) -> None:
        """Hold the runs that come from now on."""
        self._came.clear()
        self._is_open.clear()

    def open(self) -> None:
        """Let everything pass."""
        self._is_open.set()

    async def arrival(self) -> None:
        """Wait until a run has come since the gate was shut."""
        if not await asyncio.to_thread(self._came.wait, _LONGEST_S):
            msg = f"no run came within {_LONGEST_S:g} s"
            raise TimeoutError(msg)

    def enter(self, num_requests: int) -> None:
        """Pass, or wait; on a worker thread."""
        self.requests.append(num_requests)
        self._came.set()
        self._is_open.wait(_LONGEST_S)


class _Watched(Servable):
    """A servable behind a gate. Its runs are the subclasses'."""

    def __init__(self, inner: Servable, gate: Gate, max_concurrent_runs: int | None) -> None:
        self.inner = inner
        self.gate = gate
        self.signatures = inner.signatures
        self.batch_parameters = inner.batch_parameters
        self.notes = inner.notes
        self.gauges = inner.gauges
        limits = [limit for limit in (inner.max_concurrent_runs, max_concurrent_runs) if limit is not None]
        self.max_concurrent_runs = min(limits) if limits else None

    def close(self) -> None:
        self.inner.close()


class _Blocking(_Watched):
    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> NamedArrays:
        self.gate.enter(len(ctx.row_ends))
        return cast("NamedArrays", self.inner.run(signature, inputs, outputs, ctx))


class _Async(_Watched):
    async def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> NamedArrays:
        await asyncio.to_thread(self.gate.enter, len(ctx.row_ends))
        answer: Any = self.inner.run(signature, inputs, outputs, ctx)
        return cast("NamedArrays", await answer)


class Hosted:
    """A host that serves one artifact.

    Attributes
    ----------
    host
        It is running; nothing listens.
    model
        The artifact's name.
    gate
        Where its runs pass.
    """

    def __init__(self, host: Host, model: str, gate: Gate) -> None:
        self.host = host
        self.model = model
        self.gate = gate

    async def ask(self, inputs: NamedArrays, **options: Any) -> NamedArrays:
        """Ask for a prediction, as :meth:`navi_core.Host.predict` does."""
        return await self.host.predict(self.model, inputs, **options)

    async def refuses(
        self,
        what: str,
        inputs: NamedArrays,
        kind: type[NaviError],
        code: ErrorCode = ErrorCode.INVALID_ARGUMENT,
        **options: Any,
    ) -> None:
        """See that a request is refused with the right error, and a text for people."""
        refusal: NaviError | None = None
        answer: NamedArrays = {}
        try:
            answer = await self.ask(inputs, **options)
        except NaviError as error:
            refusal = error
        if refusal is None:
            shapes = {name: (array.dtype, array.shape) for name, array in answer.items()}
            pytest.fail(f"{what}: expected a refusal ({kind.__name__}), got an answer: {shapes}")
        assert isinstance(refusal, kind), f"{what}: expected {kind.__name__}, got {refusal!r}"
        assert refusal.code is code, f"{what}: expected the code {code}, got {refusal.code}: {refusal}"
        check_text(refusal)

    async def answers_or_refuses(self, what: str, inputs: NamedArrays) -> None:
        """See that a request is answered, or refused as the caller's fault."""
        refusal: NaviError | None = None
        try:
            await self.ask(inputs)
        except NaviError as error:
            refusal = error
        if refusal is not None:
            code = ErrorCode.INVALID_ARGUMENT
            assert refusal.code is code, (
                f"{what}: expected an answer or {code}, got {refusal.code}: {refusal}"
            )
            check_text(refusal)


@asynccontextmanager
async def hosted(
    runtime: Runtime,
    options: LoadOptions,
    artifact: Artifact,
    *,
    converters: Sequence[type[Converter]] = (),
    max_concurrent_runs: int | None = None,
) -> AsyncIterator[Hosted]:
    """Serve an artifact in process.

    Parameters
    ----------
    runtime, options
        What loads it, and with what.
    artifact
        What is served.
    converters
        What may recognise the artifact.
    max_concurrent_runs
        A limit beside the servable's own; None: none.
    """
    gate = Gate()

    class Given(Runtime):
        name: ClassVar[str] = runtime.name
        priority: ClassVar[int] = runtime.priority

        def recognise(self, artifact: Artifact) -> str | None:
            return runtime.recognise(artifact)

        def load(self, artifact: Artifact, _: LoadOptions) -> Servable:
            servable = runtime.load(artifact, options)
            kind = _Async if inspect.iscoroutinefunction(servable.run) else _Blocking
            return kind(servable, gate, max_concurrent_runs)

        def estimate_bytes(self, artifact: Artifact) -> int:
            return runtime.estimate_bytes(artifact)

    config = HostConfig(services=(), drain_timeout_s=10.0)
    async with Host(config, registry=registry_of(runtimes=[Given], converters=converters)) as host:
        await host.admin.replace(artifact)
        gate.requests.clear()  # those of the warm-up
        try:
            yield Hosted(host, artifact.name, gate)
        finally:
            gate.open()
