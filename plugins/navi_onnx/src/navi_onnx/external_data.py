"""External data files stay inside the model's directory.

ONNX Runtime confines them too, but takes hard links, and says no more than that a path escapes. Checked
here before a session opens anything, over every tensor of the file: initialisers, sparse ones,
attributes, subgraphs, functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from navi_core import ConfinementError, confined_file, confined_path
from navi_onnx.model_file import ExternalTensor

__all__ = ["ExternalDataError", "check_external_data"]


class ExternalDataError(ValueError):
    """A tensor's data is where it may not be, or is not there; one line."""


def check_external_data(
    tensors: Sequence[ExternalTensor], directory: Path | None, *, allow_hard_links: bool = False
) -> None:
    """Check that all external data lies in regular files inside ``directory``.

    Parameters
    ----------
    tensors
        Every tensor with external data.
    directory
        The folder of the model's file; None: the model is in memory and has none.
    allow_hard_links
        Accept files that have several names.

    Raises
    ------
    ExternalDataError
        Names the tensor and its location.
    """
    if tensors and directory is None:
        msg = f"{_what(tensors[0])}: a model in memory cannot have external data"
        raise ExternalDataError(msg)
    checked: dict[str, int] = {}
    for tensor in tensors:
        assert directory is not None  # noqa: S101 - else there are no tensors, see above
        location = tensor.location
        if not location:
            msg = f"{_what(tensor)}: no location is given"
            raise ExternalDataError(msg)
        if location not in checked:
            checked[location] = _file_size(tensor, location, directory, allow_hard_links=allow_hard_links)
        offset, length = _number(tensor, "offset", tensor.offset), _number(tensor, "length", tensor.length)
        if offset + length > checked[location]:
            msg = (
                f"{_what(tensor)}: expected bytes {offset} to {offset + length}, "
                f"the file has {checked[location]}"
            )
            raise ExternalDataError(msg)


def _file_size(tensor: ExternalTensor, location: str, directory: Path, *, allow_hard_links: bool) -> int:
    try:
        path = confined_path(directory, location)
        return confined_file(path, directory, allow_hard_links=allow_hard_links).stat().st_size
    except ConfinementError as error:
        msg = f"{_what(tensor)}: {error}"
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
