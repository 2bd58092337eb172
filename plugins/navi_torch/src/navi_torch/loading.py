"""Load an artifact: see what it is, refuse what must not be read, open it, describe its methods. Imports torch."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

import torch

from navi_core import Artifact, ErrorCode, LoadOptions, ModelLoadError, Servable
from navi_torch.archive import ArchiveError, Listing, classify, read_listing
from navi_torch.description import described, embedded
from navi_torch.errors import clean_text
from navi_torch.method import DescriptionError
from navi_torch.methods import Opened
from navi_torch.options import Description, TorchOptions
from navi_torch.program_checks import ProgramError
from navi_torch.servable import TorchServable
from navi_torch.threads import apply_threads

__all__ = ["load_servable"]

_PICKLE = (
    "it is a pickle (torch.save), which is not read: unpickling runs code. Export the module where it was made: "
    "torch.jit.script(module).save('model.pt'), or torch.export.save(torch.export.export(module, (example,)), "
    "'model.pt2')"
)
_UNKNOWN = "expected an archive of torch.jit.save, torch.export.save or AOTInductor, but "


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An opened file and what is said about it.

    Parameters
    ----------
    stream
        The file's bytes.
    path
        The file; None: it is in memory.
    listing
        The archive's directory.
    load
        What the host says.
    options
        The runtime's own.
    description
        What the file and the configuration say about the model.
    device
        Where it runs.
    """

    stream: BinaryIO
    path: str | None
    listing: Listing
    load: LoadOptions
    options: TorchOptions
    description: Description
    device: torch.device


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
    options = load.options if isinstance(load.options, TorchOptions) else TorchOptions()
    path = artifact.file(model_file)
    name = path.name if path is not None else model_file
    hidden = () if path is None else (str(path.parent), os.path.realpath(path.parent))
    try:
        _refuse_two(artifact)
        device = _device(options.device)
        notes = apply_threads(
            _first(load.intra_op_threads, options.intra_op_threads),
            _first(load.inter_op_threads, options.inter_op_threads),
            model=artifact.name,
        )
        with ExitStack() as stack:
            stream: BinaryIO
            if path is None:
                stream = io.BytesIO(artifact.read(model_file))
            else:
                stream = stack.enter_context(path.open("rb"))
            listing = _listing(stream)
            source = Source(
                stream=stream,
                path=None if path is None else str(path),
                listing=listing,
                load=load,
                options=options,
                description=described(embedded(stream, listing), options),
                device=device,
            )
            opened = _open(source)
    except (ArchiveError, DescriptionError, ProgramError) as error:
        raise _load_error(artifact, name, str(error)) from error
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else "no such file or directory"
        raise _load_error(artifact, name, why) from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _load_error(artifact, name, "out of memory", code=ErrorCode.RESOURCE_EXHAUSTED) from error
    except Exception as error:
        # torch's exceptions have no common base; whatever it says is why the load failed.
        text = clean_text(str(error), *hidden) or type(error).__name__
        raise _load_error(artifact, name, text) from error
    return TorchServable(
        opened.methods,
        device=device,
        model=artifact.name,
        max_concurrent_runs=opened.max_concurrent_runs,
        is_stateful=opened.is_stateful,
        notes=(*notes, *opened.notes),
    )


def _open(source: Source) -> Opened:
    """Open by kind. Each kind's module is imported only for its models: torch.export alone is 100 MB."""
    kind = source.listing.kind
    if kind == "torchscript":
        from navi_torch.open_script import open_script  # noqa: PLC0415 - see above

        return open_script(source)
    if kind == "torch_export":
        from navi_torch.open_exported import open_exported  # noqa: PLC0415 - see above

        return open_exported(source)
    if kind == "aotinductor":
        from navi_torch.open_package import open_packages  # noqa: PLC0415 - see above

        return open_packages(source)
    if kind == "pickle":
        raise ArchiveError(_PICKLE)
    msg = f"{_UNKNOWN}it is another zip archive"
    raise ArchiveError(msg)


def _listing(stream: BinaryIO) -> Listing:
    try:
        return read_listing(stream)
    except ArchiveError as error:
        if classify(stream) == "pickle":
            raise ArchiveError(_PICKLE) from None
        msg = f"{_UNKNOWN}{error}"
        raise ArchiveError(msg) from error


def _refuse_two(artifact: Artifact) -> None:
    if artifact.path is not None and not artifact.path.is_dir():
        return
    found = [name for name in ("model.pt", "model.pt2") if artifact.has(name)]
    if len(found) > 1:
        msg = "expected model.pt or model.pt2, got both: which one is meant?"
        raise DescriptionError(msg)


def _device(name: str) -> torch.device:
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            has = f"{count} CUDA devices" if count else "no CUDA device"
            msg = f"device: got '{name}', but torch {torch.__version__} finds {has} here"
            raise DescriptionError(msg)
        return torch.device("cuda", device.index or 0)
    return device


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _load_error(artifact: Artifact, file: str, text: str, *, code: ErrorCode | None = None) -> ModelLoadError:
    return ModelLoadError(
        f"model '{artifact.name}' version {artifact.version}: {file}: {text}",
        model=artifact.name,
        version=artifact.version,
        code=code,
    )
