"""External data of ONNX files: which tensors have it, and that it stays inside the model's directory.

The frameworks that read ONNX files open external data by themselves. They confine it, too, but differ in what they let
pass (hard links, pipes) and in what they tell. So it is checked before one of them opens anything, over every tensor of
the file.

Field numbers: onnx/onnx.proto (ONNX 1.23, IR version 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from navi_core.confined_files import ConfinementError, confined_file, confined_path
from navi_core.protobuf_wire import FileBytes, protobuf_fields, protobuf_messages, protobuf_text

__all__ = ["ExternalDataError", "ExternalTensor", "check_external_data", "read_onnx_tensor"]

_NAME: Final = 8
_EXTERNAL_DATA: Final = 13
_DATA_LOCATION: Final = 14
_EXTERNAL: Final = 1  # TensorProto.DataLocation.EXTERNAL


class ExternalDataError(ValueError):
    """A tensor's data is where it may not be, or is not there; one line."""


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """A tensor whose elements are in another file.

    Parameters
    ----------
    name
        The tensor's name; may be empty.
    location
        The file, relative to the model's directory; None: not said.
    offset, length
        The texts of these entries; empty: not said.
    """

    name: str
    location: str | None
    offset: str = ""
    length: str = ""


def read_onnx_tensor(data: FileBytes, span: slice) -> tuple[str, ExternalTensor | None]:
    """Return a ``TensorProto``'s name, and where its elements are; None: in the file itself.

    Raises
    ------
    FileFormatError
        The bytes of ``span`` are no message.
    """
    name = ""
    entries: dict[str, str] = {}
    is_external = False
    for number, value, _ in protobuf_fields(data, span.start, span.stop):
        if isinstance(value, slice):
            if number == _NAME:
                name = protobuf_text(data, value)
            elif number == _EXTERNAL_DATA:  # key and value
                is_external = True
                pair = {part: protobuf_text(data, each) for part, each in protobuf_messages(data, value)}
                entries[pair.get(1, "")] = pair.get(2, "")
        elif number == _DATA_LOCATION:
            is_external = is_external or value == _EXTERNAL
    if not is_external:
        return name, None
    return name, ExternalTensor(
        name, entries.get("location"), entries.get("offset", ""), entries.get("length", "")
    )


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
            raise ExternalDataError(f"{_what(tensor)}: a model in memory cannot have external data")
        location = tensor.location
        if not location:
            raise ExternalDataError(f"{_what(tensor)}: no location is given")
        if location not in files:
            files[location] = _located(tensor, location, directory, allow_hard_links=allow_hard_links)
        offset, length = _number(tensor, "offset", tensor.offset), _number(tensor, "length", tensor.length)
        size = files[location].stat().st_size
        if offset + length > size:
            raise ExternalDataError(
                f"{_what(tensor)}: expected bytes {offset} to {offset + length}, the file has {size}"
            )
    return files


def _located(tensor: ExternalTensor, location: str, directory: Path, *, allow_hard_links: bool) -> Path:
    try:
        path = confined_path(directory, location)
        return confined_file(path, directory, allow_hard_links=allow_hard_links)
    except ConfinementError as error:
        raise ExternalDataError(f"{_what(tensor)}: {error}") from error


def _number(tensor: ExternalTensor, what: str, text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ExternalDataError(f"{_what(tensor)}: expected a whole number as {what}")
    return int(text)


def _what(tensor: ExternalTensor) -> str:
    name = f"tensor '{tensor.name[:100]}'" if tensor.name else "a tensor without a name"
    return f"external data of {name} in {(tensor.location or '')[:200]!r}"
