"""Load an artifact: libraries, threads, the loader that works, the signatures. Imports tensorflow."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from google.protobuf.message import DecodeError as ProtoDecodeError

from navi_core import Artifact, LoadOptions, ModelLoadError, Servable
from navi_tf.callables import has_prebound_callables
from navi_tf.custom_ops import VERSION_GAUGE, load_libraries
from navi_tf.errors import LoadRefusedError, clean_text
from navi_tf.function_loader import FunctionModel
from navi_tf.memory import give_back_freed_memory
from navi_tf.options import TensorFlowOptions
from navi_tf.servable import TensorFlowServable
from navi_tf.session_loader import SessionModel
from navi_tf.signature import Described, describe
from navi_tf.threads import Threads, threads_for

__all__ = ["load_servable"]


def load_servable(artifact: Artifact, load: LoadOptions, directory: Path | None) -> Servable:
    """Load one version.

    Parameters
    ----------
    artifact
        For names in errors.
    load
        What the configuration says.
    directory
        The SavedModel; None: the artifact is in memory.

    Raises
    ------
    ModelLoadError
        One line that says why.
    """
    options = load.options if isinstance(load.options, TensorFlowOptions) else TensorFlowOptions()
    if directory is None:
        raise _load_error(artifact, "expected a directory, got files in memory")
    hidden = (str(directory), os.path.realpath(directory))
    model: SessionModel | FunctionModel | None = None
    try:
        model_bytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        threads = threads_for(load, options)
        version = load_libraries(options.custom_op_libraries)
        model, how = _open(directory, options, threads, hidden)
        described = _describe(model, load, options)
        servable = TensorFlowServable(
            model,
            described.signatures,
            name=artifact.name,
            notes=[how, *(note for note in (threads.note,) if note), *described.notes],
            gauges={} if version is None else {VERSION_GAUGE: version},
            on_close=partial(give_back_freed_memory, model_bytes),
        )
    except Exception as error:
        if model is not None:
            model.close()
        raise _load_error(artifact, _why(error, hidden)) from error
    give_back_freed_memory(model_bytes)
    return servable


def _load_error(artifact: Artifact, text: str) -> ModelLoadError:
    return ModelLoadError(
        f"model '{artifact.name}' version {artifact.version}: {text}",
        model=artifact.name,
        version=artifact.version,
    )


def _open(
    directory: Path, options: TensorFlowOptions, threads: Threads, hidden: tuple[str, ...]
) -> tuple[SessionModel | FunctionModel, str]:
    """Open the model with the loader that the options name, or with the first that works, and say how."""
    if options.loader == "function":
        return FunctionModel(directory, options), "loaded by the function loader, as the configuration says"
    try:
        model = SessionModel(directory, options, threads)
    except Exception as error:
        if options.loader == "session":
            raise
        first = error
    else:
        because = ", as the configuration says" if options.loader == "session" else ""
        return model, f"loaded by the session loader{because}; {_how_it_runs(threads)}"
    why = _why(first, hidden)
    try:
        other = FunctionModel(directory, options)
    except Exception as second:
        why_not = _why(second, hidden)
        both = why if why == why_not else f"by the session loader: {why}; by the function loader: {why_not}"
        raise LoadRefusedError(both) from second
    return other, f"loaded by the function loader, because the session loader cannot: {why}"


def _how_it_runs(threads: Threads) -> str:
    pools = {0: "in TensorFlow's shared pool", 1: "on the calling thread"}
    where = pools.get(threads.inter_op, f"in a pool of {threads.inter_op} threads")
    way = (
        "a pre-bound callable"
        if has_prebound_callables()
        else ("Session.run, which costs more: this TensorFlow has no pre-bound callables")
    )
    return f"runs {where} through {way}"


def _describe(
    model: SessionModel | FunctionModel, load: LoadOptions, options: TensorFlowOptions
) -> Described:
    return describe(model.definitions, load, graph=model.graph, ignore_shapes=options.ignore_declared_shapes)


def _why(error: BaseException, hidden: tuple[str, ...]) -> str:
    if isinstance(error, LoadRefusedError):
        return str(error)
    if isinstance(error, ProtoDecodeError):
        return "saved_model.pb is damaged"
    text = clean_text(error, hidden, keep_names=True) or type(error).__name__
    if "Op type not registered" in text:
        text += "; custom_op_libraries names the libraries that hold a model's own operators"
    return text
