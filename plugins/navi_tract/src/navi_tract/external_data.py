"""External data files stay inside the model's directory.

tract confines them too, but takes hard links, opens pipes, and names paths of this machine when it refuses.
Checked here before it opens anything, over every tensor of the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from navi_tract.onnx_file import ExternalTensor

__all__ = ["ExternalDataError", "check_external_data", "check_regular_file"]


class ExternalDataError(ValueError):
    """A tensor's data is where it may not be, or is not there; one line."""


def check_external_data(
    tensors: Sequence[ExternalTensor], directory: Path | None, *, allow_hard_links: bool = False
) -> dict[str, Path]:
    """Check that all external data lies in regular files inside ``directory``.

    Parameters
    ----------
    tensors
        Every tensor with external data.
    directory
        The folder of the model's file; None: the model is in memory and has none.
    allow_hard_links
        Accept files that have several names.

    Returns
    -------
    files
        Location as the model names it -> where that is.

    Raises
    ------
    ExternalDataError
        Names the tensor and its location.
    """
    files: dict[str, Path] = {}
    for tensor in tensors:
        if directory is None:
            msg = f"{_what(tensor)}: a model in memory cannot have external data"
            raise ExternalDataError(msg)
        location = tensor.location
        if not location:
            msg = f"{_what(tensor)}: no location is given"
            raise ExternalDataError(msg)
        if location not in files:
            _check_location(tensor, location)
            files[location] = check_regular_file(
                directory / location, directory, _what(tensor), allow_hard_links=allow_hard_links
            )
        offset, length = _number(tensor, "offset", tensor.offset), _number(tensor, "length", tensor.length)
        size = files[location].stat().st_size
        if offset + length > size:
            msg = f"{_what(tensor)}: expected bytes {offset} to {offset + length}, the file has {size}"
            raise ExternalDataError(msg)
    return files


def check_regular_file(path: Path, directory: Path, what: str, *, allow_hard_links: bool) -> Path:
    """Return where a file really is: a regular one, inside ``directory``, links followed.

    Raises
    ------
    ExternalDataError
        It is not; the text begins with ``what``.
    """
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(directory.resolve(strict=True)):
            msg = f"{what}: a link leads out of the model's directory"
            raise ExternalDataError(msg)
        status = real.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "a circle of links"
        msg = f"{what}: {why.lower()}"
        raise ExternalDataError(msg) from error
    if not stat.S_ISREG(status.st_mode):
        msg = f"{what}: expected a regular file"
        raise ExternalDataError(msg)
    if status.st_nlink > 1 and not allow_hard_links:
        msg = (
            f"{what}: the file has {status.st_nlink} names (hard links), so it may lie outside the "
            "model's directory too; allow_hard_links = true accepts it"
        )
        raise ExternalDataError(msg)
    return real


def _check_location(tensor: ExternalTensor, location: str) -> None:
    if "\0" in location or PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor:
        msg = f"{_what(tensor)}: expected a path relative to the model's directory"
        raise ExternalDataError(msg)
    if ".." in PurePosixPath(location).parts or ".." in PureWindowsPath(location).parts:
        msg = f"{_what(tensor)}: '..' is not allowed"
        raise ExternalDataError(msg)


def _number(tensor: ExternalTensor, what: str, text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        msg = f"{_what(tensor)}: expected a whole number as {what}"
        raise ExternalDataError(msg)
    return int(text)


def _what(tensor: ExternalTensor) -> str:
    name = f"tensor '{tensor.name[:100]}'" if tensor.name else "a tensor without a name"
    return f"external data of {name} in {(tensor.location or '')[:200]!r}"
