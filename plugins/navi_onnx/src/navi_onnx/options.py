"""What a model's ``[runtime_options]`` table, and the host's ``[runtimes.onnx]``, may say."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

__all__ = ["OnnxOptions", "ProviderOptions", "ThreadPoolOptions", "ZipMapMode"]

NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
Scalar = str | bool | int | float
ZipMapMode = Literal["values_and_keys", "values", "refuse"]

_EXTERNAL_FOLDER: Final = "session.model_external_initializers_file_folder_path"


class _Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable; an unknown key is an error."""


class ThreadPoolOptions(_Options, frozen=True, kw_only=True):
    """Sizes of the process-wide thread pool that all sessions share.

    Attributes
    ----------
    intra_op_threads
        Threads that work on one operator; 0: as many as the machine has cores.
    inter_op_threads
        Threads that run operators side by side (``execution_mode = "parallel"``); 0: as above.
    """

    intra_op_threads: NonNegativeInt = 0
    inter_op_threads: NonNegativeInt = 0


class ProviderOptions(_Options, frozen=True, kw_only=True):
    """One execution provider with its own options.

    Attributes
    ----------
    name
        ``CUDAExecutionProvider``, or short: ``cuda``.
    options
        The provider's options, by ONNX Runtime's names.
    """

    name: str
    options: dict[str, Scalar] = {}


class OnnxOptions(_Options, frozen=True, kw_only=True):
    """How one model's session is made.

    Attributes
    ----------
    intra_op_threads
        Threads that work on one operator; 0: one for each core; None: 1. The model's own
        ``intra_op_threads`` (and META.json) come first.
    inter_op_threads
        Threads that run operators side by side, where ``execution_mode`` is ``parallel``; None or 0:
        ONNX Runtime decides. The model's own ``inter_op_threads`` come first.
    execution_mode
        ``parallel`` runs independent operators of one run side by side.
    optimization_level
        Graph optimisations.
    memory_pattern
        Plan the memory of a run from an earlier run of the same shapes.
    cpu_memory_arena
        Keep freed memory for the next run instead of giving it back.
    allow_spinning
        Let idle pool threads burn a core for a moment in the hope of work.
    global_thread_pool
        Use one pool for all sessions of the process; the thread counts above are not used then.
    providers
        Execution providers, the preferred one first; the CPU's is always last. Overrides ``gpu_ep``.
    gpu_ep
        Navi's short form of ``providers``.
    ep_options
        Options of the provider that ``gpu_ep`` chose.
    profiling
        Prefix of a profile file, written when the version is unloaded; None: none.
    session_config
        Any other session configuration entry, by ONNX Runtime's key.
    run_config
        Any run configuration entry, by ONNX Runtime's key.
    zipmap
        What becomes of an output that is a sequence of maps (see the README).
    allow_hard_links
        Accept external data files that have several names.
    """

    intra_op_threads: NonNegativeInt | None = None
    inter_op_threads: NonNegativeInt | None = None
    execution_mode: Literal["sequential", "parallel"] = "sequential"
    optimization_level: Literal["disabled", "basic", "extended", "layout", "all"] = "all"
    memory_pattern: bool = True
    cpu_memory_arena: bool = True
    allow_spinning: bool = False
    global_thread_pool: ThreadPoolOptions | None = None
    providers: tuple[str | ProviderOptions, ...] = ()
    gpu_ep: Literal["cpu", "cuda", "tensorrt", "onednn"] = "cpu"
    ep_options: dict[str, Scalar] = {}
    profiling: str | None = None
    session_config: dict[str, str] = {}
    run_config: dict[str, str] = {}
    zipmap: ZipMapMode = "values_and_keys"
    allow_hard_links: bool = False

    def __post_init__(self) -> None:
        if _EXTERNAL_FOLDER in self.session_config:
            msg = f"session_config: '{_EXTERNAL_FOLDER}' cannot be set: external data stays in the model's directory"
            raise ValueError(msg)
