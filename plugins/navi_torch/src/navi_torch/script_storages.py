"""What a TorchScript archive's pickles claim of its weights, against what its directory says that there is.

torch makes a storage of as many elements as ``data.pkl`` (or ``constants.pkl``) claims, over however many bytes the
archive has for it: where those are fewer, it reads beyond them, which may end the process. The pickles are looked
through one instruction after another; nothing is built from them. Imports no torch.
"""

from __future__ import annotations

import pickletools
from collections import deque
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from navi_torch.archive import ArchiveError, Listing, read_member

__all__ = ["check_storages"]

_FOLDERS: Final = {"data.pkl": "data/", "constants.pkl": "constants/"}
_MAX_PICKLE_BYTES: Final = 256 << 20

_ELEMENT_BYTES: Final = {
    "Bool": 1,
    "Byte": 1,
    "Char": 1,
    "Short": 2,
    "UInt16": 2,
    "Int": 4,
    "UInt32": 4,
    "Long": 8,
    "UInt64": 8,
    "Half": 2,
    "BFloat16": 2,
    "Float": 4,
    "Double": 8,
    "ComplexHalf": 4,
    "ComplexFloat": 8,
    "ComplexDouble": 16,
    "QInt8": 1,
    "QUInt8": 1,
    "QInt32": 4,
}
"""Others have at least one byte an element, or (of four and of two bits) fewer, which nobody serves."""

_PUT: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GET: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})


class _Claim(NamedTuple):
    key: str
    kind: str
    num_elements: int


def check_storages(stream: BinaryIO, listing: Listing) -> None:
    """Refuse an archive that has less of a storage than its pickles claim.

    Parameters
    ----------
    stream, listing
        The archive and its directory.

    Raises
    ------
    ArchiveError
        Names the storage, what is claimed of it, and what is there.
    """
    for name, folder in _FOLDERS.items():
        if name not in listing.sizes:
            continue
        for claim in _claims(read_member(stream, listing, name, _MAX_PICKLE_BYTES)):
            element_bytes = _ELEMENT_BYTES.get(claim.kind.removesuffix("Storage"), 1)
            claimed_bytes = claim.num_elements * element_bytes
            found_bytes = listing.sizes.get(folder + claim.key)
            if claim.num_elements < 0 or (found_bytes is not None and found_bytes < claimed_bytes):
                msg = (
                    f"{name} claims {claimed_bytes} bytes of weights in '{folder}{claim.key[:80]}', "
                    f"which has {found_bytes}"
                )
                raise ArchiveError(msg)


def _claims(content: bytes) -> Iterator[_Claim]:
    """Yield the storages that a pickle names, as torch writes them: ``("storage", kind, key, device, count)``."""
    memo: dict[Any, Any] = {}
    pushed: deque[Any] = deque([None], maxlen=6)
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "BINPERSID":
                word, kind, key, _device, count, _tuple = pushed if len(pushed) == 6 else (None,) * 6
                if word == "storage" and isinstance(count, int):
                    yield _Claim(str(key), str(kind).partition(" ")[2], count)
            if opcode.name in _PUT:
                memo[argument] = pushed[-1]
            elif opcode.name in _GET:
                pushed.append(memo.get(argument))
            elif opcode.name != "MARK":
                pushed.append(argument)
    except ValueError:  # torch refuses what is no pickle in its own words
        return
