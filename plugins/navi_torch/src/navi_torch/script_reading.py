"""Read TorchScript archives so that other threads go on meanwhile.

torch's own functions hold Python's interpreter lock for the whole of a load, and most of that is reading weights. Here
weights are read by Python's files, which give the lock up, into storages that torch is then given together with
an archive in memory of all the rest: the form that it reads modules of a ``torch.package`` from. What is left under the
lock is the compilation of the module's code.

``torch.package``'s function has been in torch since 1.9, under a name that promises nothing: where anything is not as
expected the caller reads the file by torch's usual function, and says why in the model's notes. Neither of the two
compares checksums of weights.
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from typing import Any, BinaryIO, Final

import torch

__all__ = ["NotReadableError", "read_unlocked"]

_MODULE_ID: Final = "0"
_MODULE_FOLDER: Final = f".data/ts_code/{_MODULE_ID}/"
_CODE_FOLDER: Final = ".data/ts_code/"
_ROOT: Final = "archive/"
_PICKLES: Final = frozenset({"data.pkl", "constants.pkl"})
_ABOUT: Final = frozenset({"version", ".data/version", "byteorder"})
_WEIGHTS: Final = "data/"
_CONSTANTS: Final = "constants/"
_LOCAL_HEAD: Final = struct.Struct(
    "<4s22xHH"
)  # signature, sizes of the name and of what else stands before the contents
_MAX_READ_BYTES: Final = 64 << 20
_IS_ENCRYPTED: Final = 1


class NotReadableError(Exception):
    """An archive is left to torch's usual function; one line that says why."""


def read_unlocked(stream: BinaryIO) -> Any:
    """Return the C++ module of an archive, with its weights in memory.

    Parameters
    ----------
    stream
        The archive; its directory was checked.

    Raises
    ------
    NotReadableError
        It is of no form that this function reads.
    Exception
        Whatever torch, zipfile or the file say; torch's usual function may still read it.
    """
    storages = torch._C.DeserializationStorageContext()  # noqa: SLF001 - see the module's text
    stream.seek(0)
    rest = io.BytesIO()
    with zipfile.ZipFile(stream) as archive, zipfile.ZipFile(rest, "w") as target:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        weights = {name: member for name, member in members.items() if name.startswith(_WEIGHTS)}
        _refuse(members, weights, stream.seek(0, io.SEEK_END))
        for name, member in members.items():
            if name in weights:
                continue
            if name == "byteorder" and archive.read(member) != sys.byteorder.encode():
                msg = "its weights are in another byte order"
                raise NotReadableError(msg)
            new = _name_in_package(name)
            if new is not None:
                target.writestr(_ROOT + new, archive.read(member))
        for name, member in weights.items():
            storages.add_storage(name.removeprefix(_WEIGHTS), _read_weights(stream, member))
    rest.seek(0)
    return torch._C._import_ir_module_from_package(  # noqa: SLF001
        torch._C.CompilationUnit(),  # noqa: SLF001
        torch._C.PyTorchFileReader(rest),  # noqa: SLF001
        storages,
        torch.device("cpu"),
        _MODULE_ID,
    )


def _refuse(
    members: dict[str, zipfile.ZipInfo], weights: dict[str, zipfile.ZipInfo], size_bytes: int
) -> None:
    """Leave to torch what storages cannot be made for here.

    Raises
    ------
    NotReadableError
        Says why.
    """
    why = ""
    if any(name.startswith(_CONSTANTS) for name in members):
        why = "its code has tensors as constants"  # a package numbers them together with the weights
    elif any(
        member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _IS_ENCRYPTED
        for member in weights.values()
    ):
        why = "its weights are compressed"
    elif sum(member.file_size for member in weights.values()) > size_bytes:
        why = "its weights share bytes of the file"  # memory is taken for what the file has, not for what it claims
    if why:
        raise NotReadableError(why)


def _name_in_package(name: str) -> str | None:
    """Return where a package has a member of an archive; None: it is not needed."""
    if name in _PICKLES:
        return _MODULE_FOLDER + name
    if name.startswith("code/"):
        return _CODE_FOLDER + name
    return name if name in _ABOUT else None


def _read_weights(stream: BinaryIO, member: zipfile.ZipInfo) -> torch.Tensor:
    """Return a member's bytes as a tensor: the lock is given up while they are read."""
    stream.seek(member.header_offset)
    head = stream.read(_LOCAL_HEAD.size)
    if len(head) < _LOCAL_HEAD.size or not head.startswith(b"PK\3\4"):
        msg = f"member '{member.filename[:80]}' is not where the directory says"
        raise NotReadableError(msg)
    _, name_bytes, extra_bytes = _LOCAL_HEAD.unpack(head)
    stream.seek(member.header_offset + _LOCAL_HEAD.size + name_bytes + extra_bytes)
    weights = torch.empty(member.file_size, dtype=torch.uint8)
    view = memoryview(weights.numpy())
    done = 0
    while done < len(view):
        count = stream.readinto(view[done : done + _MAX_READ_BYTES])  # type: ignore[attr-defined]  # files and BytesIO have it
        if not count:
            msg = f"member '{member.filename[:80]}' reaches beyond the end of the file"
            raise NotReadableError(msg)
        done += count
    return weights
