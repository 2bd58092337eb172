"""What kind of file a torch model is, told by its bytes. Imports no torch, unpickles nothing.

Plan. Every format of torch since 1.6 is a zip archive with one root folder; the names in its directory tell
them apart:

* TorchScript (``torch.jit.save``): ``constants.pkl`` and ``code/``;
* torch.export (``torch.export.save``): ``archive_format`` and ``models/NAME.json``;
* AOTInductor (``aoti_compile_and_package``): ``archive_format`` and ``data/aotinductor/NAME/``;
* ``torch.save``: ``data.pkl`` and neither of those: a pickle, which is code to whoever reads it;
* before 1.6: a bare pickle stream, or a tar file.

Only the directory of the archive is read, and it is bounded before it is read. :class:`Listing` also refuses
archives that claim more than they hold: members that overlap the file's end, names twice, names that lead out of
a folder, and compressed members (TorchScript's code) that would inflate without measure.
"""

from __future__ import annotations

import io
import re
import shutil
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Literal

__all__ = ["ArchiveError", "Kind", "Listing", "classify", "extract_member", "read_listing", "read_member"]

Kind = Literal["torchscript", "torch_export", "aotinductor", "pickle", "unknown"]

_MAX_DIRECTORY_BYTES: Final = 64 << 20
_MAX_INFLATED_BYTES: Final = 256 << 20
_TAIL_BYTES: Final = 22 + 65_535  # the end record and its longest comment
_LEGACY_MAGIC: Final = (
    b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch.save before 1.6, after the protocol's two bytes
)
_OUTSIDE: Final = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\x00")


class ArchiveError(ValueError):
    """The file is no archive that torch writes, or one that claims what it does not hold; one line."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The directory of one archive.

    Parameters
    ----------
    root
        The folder that everything lies in.
    sizes
        Name without the root -> size in bytes.
    kind
        What the names mean.
    """

    root: str
    sizes: Mapping[str, int]
    kind: Kind
    programs: tuple[str, ...] = field(default=())
    packages: tuple[str, ...] = field(default=())


def classify(stream: BinaryIO) -> Kind:
    """Return what kind of file it is; never raises for what is in it."""
    try:
        return read_listing(stream).kind
    except ArchiveError:
        stream.seek(0)
        head = stream.read(512)
        return "pickle" if _is_bare_pickle(head) else "unknown"


def read_listing(stream: BinaryIO) -> Listing:
    """Read and check the directory of an archive.

    Raises
    ------
    ArchiveError
        It is no zip archive, a damaged one, or one that lies about its sizes.
    """
    size_bytes = _check_directory_size(stream)
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, struct.error, NotImplementedError) as error:
        msg = "its zip directory is damaged"
        raise ArchiveError(msg) from error
    if not members:
        msg = "it is an empty zip archive"
        raise ArchiveError(msg)
    root = members[0].filename.split("/", 1)[0]
    sizes: dict[str, int] = {}
    inflated_bytes = 0
    for member in members:
        name = member.filename.removeprefix(f"{root}/")
        if _OUTSIDE.search(member.filename):
            msg = "a member's name leads out of its folder"
            raise ArchiveError(msg)
        if name in sizes:
            msg = f"member '{name[:80]}' is there twice"
            raise ArchiveError(msg)
        if member.header_offset + member.compress_size > size_bytes:
            msg = f"member '{name[:80]}' reaches beyond the end of the file"
            raise ArchiveError(msg)
        if member.compress_type == zipfile.ZIP_STORED:
            if member.file_size != member.compress_size:
                msg = f"member '{name[:80]}' is stored and claims another size than it has"
                raise ArchiveError(msg)
        else:
            inflated_bytes += member.file_size
        sizes[name] = member.file_size
    if inflated_bytes > _MAX_INFLATED_BYTES:
        msg = f"its compressed members claim {inflated_bytes} bytes: expected at most {_MAX_INFLATED_BYTES}"
        raise ArchiveError(msg)
    programs = _folder_names(sizes, "models/", ".json")
    packages = tuple(
        dict.fromkeys(name.split("/")[2] for name in sizes if re.match(r"data/aotinductor/[^/]+/.", name))
    )
    return Listing(root, sizes, _kind(sizes, programs, packages), programs, packages)


def read_member(stream: BinaryIO, listing: Listing, name: str, max_bytes: int) -> bytes:
    """Return one member of an archive whose listing was read.

    Raises
    ------
    ArchiveError
        It is larger than ``max_bytes``, or damaged.
    KeyError
        There is none of that name.
    """
    if listing.sizes[name] > max_bytes:
        msg = f"member '{name}' has {listing.sizes[name]} bytes: expected at most {max_bytes}"
        raise ArchiveError(msg)
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive, archive.open(f"{listing.root}/{name}") as member:
            return member.read(max_bytes)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        msg = f"member '{name}' is damaged"
        raise ArchiveError(msg) from error


def extract_member(stream: BinaryIO, listing: Listing, name: str, path: Path) -> None:
    """Write one member of an archive into a file.

    Raises
    ------
    ArchiveError
        It is damaged.
    OSError
        The file cannot be written.
    """
    stream.seek(0)
    try:
        with (
            zipfile.ZipFile(stream) as archive,
            archive.open(f"{listing.root}/{name}") as member,
            path.open("wb") as target,
        ):
            shutil.copyfileobj(member, target)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, KeyError) as error:
        msg = f"member '{name}' is damaged"
        raise ArchiveError(msg) from error


def _kind(sizes: Mapping[str, int], programs: tuple[str, ...], packages: tuple[str, ...]) -> Kind:
    if "constants.pkl" in sizes and any(name.startswith("code/") for name in sizes):
        return "torchscript"
    if "archive_format" in sizes:
        if packages:
            return "aotinductor"
        if programs:
            return "torch_export"
    if "data.pkl" in sizes:
        return "pickle"
    return "unknown"


def _folder_names(sizes: Mapping[str, int], folder: str, suffix: str) -> tuple[str, ...]:
    return tuple(
        name[len(folder) : -len(suffix)]
        for name in sizes
        if name.startswith(folder) and name.endswith(suffix) and len(name) > len(folder) + len(suffix)
    )


def _is_bare_pickle(head: bytes) -> bool:
    is_tar = head[257:262] == b"ustar"
    return head[2:14] == _LEGACY_MAGIC or (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5") or is_tar


def _check_directory_size(stream: BinaryIO) -> int:
    """Return the file's size; refuse a directory that is too large to be read."""
    size_bytes = stream.seek(0, io.SEEK_END)
    if not size_bytes:
        msg = "it is empty"
        raise ArchiveError(msg)
    start = max(0, size_bytes - _TAIL_BYTES)
    stream.seek(start)
    tail = stream.read(_TAIL_BYTES)
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        msg = "it is no zip archive"
        raise ArchiveError(msg)
    directory_bytes = struct.unpack_from("<L", tail, end + 12)[0]
    locator = tail.rfind(b"PK\6\7", 0, end)
    if locator >= 0 and len(tail) >= locator + 20:
        record_at = struct.unpack_from("<Q", tail, locator + 8)[0]
        if record_at + 56 <= size_bytes:
            stream.seek(record_at)
            record = stream.read(56)
            if record[:4] == b"PK\6\6":
                directory_bytes = struct.unpack_from("<Q", record, 40)[0]
    if directory_bytes > min(size_bytes, _MAX_DIRECTORY_BYTES):
        msg = f"its zip directory claims {directory_bytes} bytes: expected at most {_MAX_DIRECTORY_BYTES}"
        raise ArchiveError(msg)
    return size_bytes
