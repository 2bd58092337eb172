"""Runtime and Servable: how an artifact becomes something that predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import msgspec

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.serve_flags import ServeFlag
from navi_core.signature import Signature
from navi_core.types import Array, Int64Array, NamedArrays, Parameters

__all__ = ["LoadOptions", "RunContext", "Runtime", "Servable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What the configuration says about one load.

    Parameters
    ----------
    options
        An instance of the runtime's ``options_type``: the host-wide table overlaid by the model's.
    intra_op_threads, inter_op_threads
        Thread counts from the model's configuration or META.json; None: the runtime's default.
    signature
        The model's own signature to serve as the default one; None: its usual default.
    inputs, outputs
        Restrict and order the default signature's tensors; empty: as in the model.
    """

    options: Any = None
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    signature: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


class RunContext(Protocol):
    """What a run may ask about the batch it computes."""

    @property
    def row_ends(self) -> Int64Array:
        """(requests,) int64, increasing: the row after each request's last. Empty if not batched."""
        ...

    @property
    def deadline(self) -> float | None:
        """The latest deadline of the batch, in seconds on the monotonic clock; None: none."""
        ...

    @property
    def parameters(self) -> Parameters:
        """The request parameters, equal for every request of the batch."""
        ...

    def is_cancelled(self) -> bool:
        """Tell whether every caller of the batch has gone. Safe from the worker thread."""
        ...

    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return an uninitialised C-contiguous array from the pool.

        It goes back to the pool only after the last response made from it was written.
        """
        ...


class Servable(ABC):
    """One loaded version that can predict. It does not manage its own life.

    State after construction: loaded, signatures known, ready to run. ``run`` is called from worker
    threads (and where ``may_run_inline`` says so, from the event loop's), at most ``max_concurrent_runs`` at a time; ``close`` once every handle came back.

    Attributes
    ----------
    signatures
        Name -> signature; the default one is ``serving_default``.
    max_concurrent_runs
        None: any number of threads may run at once; 1: stateful or not thread-safe.
    may_run_inline
        ``run`` computes and waits for nothing: no network, no file, no device, no other process, nor a lock that
        is held for long. The host may then call it on the event loop, once its runs were measured to be
        very short (``max_inline_run_us``). Does not hold for an ``async def``.
    batch_parameters
        Names of request parameters that ``run`` reads: requests whose values differ are never
        batched together. Others do not separate batches and are not seen by ``run``.
    is_stateful
        What a run answers depends on earlier runs: the host runs no warm-up of its own, which would be the first.
    notes
        What a person should know about how it was loaded, a sentence each: which of several loaders was
        used and why. ``navi-host inspect`` shows them.
    gauges
        Name -> number that an operator may watch, fixed once it is loaded: shown as a metric.
    """

    signatures: Mapping[str, Signature]
    max_concurrent_runs: int | None = None
    may_run_inline: bool = False
    batch_parameters: frozenset[str] = frozenset()
    is_stateful: bool = False
    notes: Sequence[str] = ()
    gauges: Mapping[str, float] = MappingProxyType({})

    @abstractmethod
    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> NamedArrays | Awaitable[NamedArrays]:
        """Compute ``outputs`` from ``inputs``.

        Blocking, on a worker thread; or ``async def``, then awaited on the loop. Keeps no input after
        it returns and answers with no view of one.

        Parameters
        ----------
        signature
            A key of ``signatures``.
        inputs
            Checked against the signature: names, dtypes, shapes. Arrays are C-contiguous and
            aligned unless the request ran alone; read-only. Optional inputs may be absent.
        outputs
            Names to compute; a subset of the signature's.
        ctx
            Row ends, deadline, parameters, pooled buffers.

        Returns
        -------
        outputs
            Exactly the names asked for.

        Raises
        ------
        InferenceError
            The framework failed.
        RequestError
            The framework refused the input.
        """

    def close(self) -> None:  # noqa: B027 - nothing to give back is a fine answer
        """Give everything back. Idempotent; on a loader thread."""


class Runtime(ABC):
    """Turns artifacts of some kind into servables. One instance per host; import-light.

    The module that defines it imports no framework: ``import onnxruntime`` belongs in ``load``.

    Attributes
    ----------
    name
        The word used in configuration; unique.
    priority
        Several runtimes may recognise an artifact: the highest wins, a tie is refused naming both.
    options_type
        A ``msgspec.Struct`` for this runtime's table in the configuration; None: it has none. The
        struct forbids unknown fields, so that a misspelt option is refused.
    serve_flags
        Flags that ``navi-host serve`` offers for this runtime's options.
    """

    name: ClassVar[str]
    priority: ClassVar[int] = 100
    options_type: ClassVar[type[msgspec.Struct] | None] = None
    serve_flags: ClassVar[Sequence[ServeFlag]] = ()

    @abstractmethod
    def recognise(self, artifact: Artifact) -> str | None:
        """Return the kind of artifact (``onnx``), or None: not mine.

        Looks at file names and first bytes; never loads. On a loader thread.
        """

    @abstractmethod
    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Load one version. Blocking, on a loader thread; several loads may run at once.

        Raises
        ------
        ModelLoadError
            It cannot be served; says why, and what would help.
        """

    def estimate_bytes(self, artifact: Artifact) -> int:
        """Return an upper bound of the memory that the loaded version takes, in bytes.

        Compared with ``max_model_bytes`` before the load.
        """
        return artifact.size_bytes()
