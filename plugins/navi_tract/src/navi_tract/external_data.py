"""External data files stay inside the model's directory.

tract confines them too, but takes hard links, opens pipes, and names paths of this machine when it refuses.
Checked here before it opens anything, over every tensor of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from navi_core import ConfinementError, confined_file, confined_path
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
            files[location] = _located(tensor, location, directory, allow_hard_links=allow_hard_links)
        offset, length = _number(tensor, "offset", tensor.offset), _number(tensor, "length", tensor.length)
        size = files[location].stat().st_size
        if offset + length > size:
            msg = f"{_what(tensor)}: expected bytes {offset} to {offset + length}, the file has {size}"
            raise ExternalDataError(msg)
    return files


def _located(tensor: ExternalTensor, location: str, directory: Path, *, allow_hard_links: bool) -> Path:
    try:
        path = confined_path(directory, location)
    except ConfinementError as error:
        msg = f"{_what(tensor)}: {error}"
        raise ExternalDataError(msg) from error
    return check_regular_file(path, directory, _what(tensor), allow_hard_links=allow_hard_links)


def check_regular_file(path: Path, directory: Path, what: str, *, allow_hard_links: bool) -> Path:
    """Return where a file really is: a regular one, inside ``directory``, links followed.

    Raises
    ------
    ExternalDataError
        It is not; the text begins with ``what``.
    """
    try:
        return confined_file(path, directory, allow_hard_links=allow_hard_links)
    except ConfinementError as error:
        msg = f"{what}: {error}"
        raise ExternalDataError(msg) from error


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
