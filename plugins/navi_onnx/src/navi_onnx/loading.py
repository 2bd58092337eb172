"""Load an artifact: look into the file, check it, open a session, describe it. Imports onnxruntime."""

from __future__ import annotations

import mmap
import os
from contextlib import ExitStack
from pathlib import Path

from navi_core import (
    Artifact,
    ExternalDataError,
    FileBytes,
    FileFormatError,
    LoadOptions,
    ModelLoadError,
    Servable,
    check_external_data,
)
from navi_onnx.errors import clean_text
from navi_onnx.model_file import ModelFacts, read_model_facts
from navi_onnx.options import OnnxOptions
from navi_onnx.servable import OnnxServable
from navi_onnx.session import SessionError, open_session, run_options
from navi_onnx.signature import SignatureError, describe

__all__ = ["load_servable"]


def load_servable(artifact: Artifact, load: LoadOptions, model_file: str) -> Servable:
    """Load one version.

    Parameters
    ----------
    artifact
        A directory or files in memory with ``model_file``, or a single file.
    load
        What the configuration says.
    model_file
        The model's name inside a directory.

    Raises
    ------
    ModelLoadError
        One line that says why.
    """
    options = load.options if isinstance(load.options, OnnxOptions) else OnnxOptions()
    path = artifact.file(model_file)
    name = path.name if path is not None else model_file
    directory = None if path is None else path.parent
    try:
        facts = _facts(artifact, path, model_file)
        check_external_data(facts.external, directory, allow_hard_links=options.allow_hard_links)
        model = str(path) if path is not None else bytes(artifact.read(model_file))
        session = open_session(model, options, load)
        described = describe(session, facts, load, options.zipmap)
        settings = run_options(options)
    except (ExternalDataError, SessionError, SignatureError) as error:
        raise _load_error(artifact, name, str(error)) from error
    except FileFormatError as error:
        raise _load_error(artifact, name, f"expected an ONNX model, but {error}") from error
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else "no such file or directory"
        raise _load_error(artifact, name, why) from error
    except Exception as error:
        # ONNX Runtime's exceptions have no common base; whatever it says is why the load failed.
        hidden = () if directory is None else (str(directory), os.path.realpath(directory))
        text = clean_text(str(error), *hidden) or type(error).__name__
        raise _load_error(artifact, name, text) from error
    return OnnxServable(
        session, described, settings, model=artifact.name, profiling=options.profiling is not None
    )


def _load_error(artifact: Artifact, file: str, text: str) -> ModelLoadError:
    return ModelLoadError(
        f"model '{artifact.name}' version {artifact.version}: {file}: {text}",
        model=artifact.name,
        version=artifact.version,
    )


def _facts(artifact: Artifact, path: Path | None, model_file: str) -> ModelFacts:
    if path is None:
        return read_model_facts(artifact.read(model_file))
    with ExitStack() as stack:
        stream = stack.enter_context(path.open("rb"))
        if not os.fstat(stream.fileno()).st_size:
            msg = "it is empty"
            raise FileFormatError(msg)
        data: FileBytes = stack.enter_context(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        return read_model_facts(data)
