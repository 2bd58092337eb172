"""Sessions of ONNX Runtime: options, threads, execution providers."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Final

import onnxruntime as ort

from navi_core import LoadOptions
from navi_onnx.options import OnnxOptions, ProviderOptions, ThreadPoolOptions

__all__ = ["SessionError", "open_session", "run_options"]

_ERROR: Final = 3  # ONNX Runtime's log severities
_FATAL: Final = 4

_LEVELS: Final = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "layout": ort.GraphOptimizationLevel.ORT_ENABLE_LAYOUT,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

ort.set_default_logger_severity(_ERROR)
ort.disable_telemetry_events()


class SessionError(ValueError):
    """The options ask for what this ONNX Runtime, or this process, does not have; one line."""


class _SharedPool:
    """The process's one thread pool: its sizes can be set once, before the first session that uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sizes: ThreadPoolOptions | None = None

    def ensure(self, sizes: ThreadPoolOptions) -> None:
        """Make the pool, or check that it has these sizes already.

        Raises
        ------
        SessionError
            It has other sizes, or somebody else made one.
        """
        with self._lock:
            if self._sizes is None:
                try:
                    ort.set_global_thread_pool_sizes(sizes.intra_op_threads, sizes.inter_op_threads)
                except Exception as error:
                    msg = "global_thread_pool: this process's thread pool was made elsewhere already"
                    raise SessionError(msg) from error
                self._sizes = sizes
            if self._sizes != sizes:
                msg = (
                    "global_thread_pool: expected the sizes that this process's pool was made with "
                    f"(intra {self._sizes.intra_op_threads}, inter {self._sizes.inter_op_threads}), "
                    f"got intra {sizes.intra_op_threads}, inter {sizes.inter_op_threads}"
                )
                raise SessionError(msg)


_SHARED_POOL: Final = _SharedPool()


def open_session(model: str | bytes, options: OnnxOptions, load: LoadOptions) -> ort.InferenceSession:
    """Open a session from a file's path or from bytes. Blocking; releases the GIL.

    Raises
    ------
    SessionError
        An execution provider or the shared thread pool is not to be had.
    Exception
        ONNX Runtime's own, where the model is refused.
    """
    providers = _providers(options)
    settings = _session_options(options, load)
    if isinstance(model, bytes):
        # A model in memory has no directory: without this, external data would be looked for in the
        # process's working directory.
        settings.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    session = ort.InferenceSession(model, settings, providers=providers, enable_fallback=0)
    session.disable_fallback()
    missing = [name for name, _ in providers if name not in session.get_providers()]
    if missing:
        msg = f"execution provider {missing[0]} is installed but could not be started; see ONNX Runtime's log"
        raise SessionError(msg)
    return session


def run_options(options: OnnxOptions) -> ort.RunOptions:
    """Return what every run of a session is given; may be shared by threads.

    A run that fails is raised as an error with its text, so it is not logged as well: otherwise
    clients could fill the log.
    """
    settings = ort.RunOptions()
    settings.log_severity_level = _FATAL
    for key, value in options.run_config.items():
        settings.add_run_config_entry(key, value)
    return settings


def _session_options(options: OnnxOptions, load: LoadOptions) -> ort.SessionOptions:
    settings = ort.SessionOptions()
    settings.log_severity_level = _ERROR
    parallel = options.execution_mode == "parallel"
    mode = ort.ExecutionMode
    settings.execution_mode = mode.ORT_PARALLEL if parallel else mode.ORT_SEQUENTIAL
    settings.graph_optimization_level = _LEVELS[options.optimization_level]
    # ONNX Runtime plans no memory for operators that run side by side, and warns if asked to.
    settings.enable_mem_pattern = options.memory_pattern and not parallel
    settings.enable_cpu_mem_arena = options.cpu_memory_arena
    if options.global_thread_pool is None:
        settings.intra_op_num_threads = _first(load.intra_op_threads, options.intra_op_threads, 1)
        settings.inter_op_num_threads = _first(load.inter_op_threads, options.inter_op_threads, 0)
        spinning = "1" if options.allow_spinning else "0"
        settings.add_session_config_entry("session.intra_op.allow_spinning", spinning)
        settings.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    else:
        _SHARED_POOL.ensure(options.global_thread_pool)
        settings.use_per_session_threads = False
    if options.profiling:
        settings.enable_profiling = True
        settings.profile_file_prefix = options.profiling
    for key, value in options.session_config.items():
        settings.add_session_config_entry(key, value)
    return settings


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _providers(options: OnnxOptions) -> list[tuple[str, dict[str, str]]]:
    """Return the providers in order, the CPU's at the end, as ONNX Runtime wants them."""
    wanted: Sequence[str | ProviderOptions] = options.providers or (
        ProviderOptions(name=options.gpu_ep, options=options.ep_options),
    )
    chosen: dict[str, dict[str, str]] = {}
    for item in wanted:
        provider = item if isinstance(item, ProviderOptions) else ProviderOptions(name=item)
        name = _provider_name(provider.name)
        if name in chosen:
            msg = f"providers: {name} is given twice"
            raise SessionError(msg)
        chosen[name] = {key: _option_text(value) for key, value in provider.options.items()}
    chosen.setdefault("CPUExecutionProvider", {})
    return list(chosen.items())


def _provider_name(name: str) -> str:
    available = ort.get_available_providers()
    short: dict[str, str] = {known.lower().removesuffix("executionprovider"): known for known in available}
    wanted = name.lower().removesuffix("executionprovider")
    found = short.get("dnnl" if wanted == "onednn" else wanted)
    if found is None:
        msg = (
            f"execution provider: expected one of {{{', '.join(available)}}}, which this onnxruntime "
            f"{ort.__version__} was built with, got '{name}'"
        )
        raise SessionError(msg)
    return found


def _option_text(value: str | bool | float) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
