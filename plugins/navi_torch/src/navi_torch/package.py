"""AOTInductor packages: native code that was compiled for one kind of machine.

A package holds no dtypes and sizes where it can be asked for them. In this order they come from the exported program,
if the archive has it beside the code; from what is configured; and from the C++ source that torch packs beside the
library, whose (disabled) checks of the inputs state them.

The loader's ``run`` holds the GIL from start to end (torch 2.13), so a long run stops everything else that is Python
in the process, the event loop included: where that is possible the library is called directly (:mod:`.native`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import torch
from torch._C import _aoti

from navi_core import DType
from navi_torch.archive import ArchiveError, Listing, read_member
from navi_torch.method import Argument, Call, DescriptionError, Dim
from navi_torch.names import NameTree, parse_spec
from navi_torch.options import MethodOptions
from navi_torch.probe import shape_of

__all__ = ["GIL_NOTE", "Package", "arguments_of", "compiled_for", "open_package", "source_arguments"]

GIL_NOTE: Final = (
    "torch's AOTInductor loader holds the interpreter's lock while it runs: other models and the network wait for each "
    "run; serve large models of this kind in a process of their own, or as TorchScript"
)

_MAX_SOURCE_BYTES: Final = 64 << 20
_WORDS: Final = {
    "bool": DType.BOOL,
    "int8": DType.INT8,
    "int16": DType.INT16,
    "int32": DType.INT32,
    "int64": DType.INT64,
    "uint8": DType.UINT8,
    "uint16": DType.UINT16,
    "uint32": DType.UINT32,
    "uint64": DType.UINT64,
    "float16": DType.FLOAT16,
    "bfloat16": DType.BFLOAT16,
    "float32": DType.FLOAT32,
    "float64": DType.FLOAT64,
    "complex64": DType.COMPLEX64,
    "complex128": DType.COMPLEX128,
    "float8_e4m3fn": DType.FLOAT8_E4M3FN,
    "float8_e4m3fnuz": DType.FLOAT8_E4M3FNUZ,
    "float8_e5m2": DType.FLOAT8_E5M2,
    "float8_e5m2fnuz": DType.FLOAT8_E5M2FNUZ,
}


@dataclass(frozen=True, slots=True)
class Package:
    """One loaded package.

    Parameters
    ----------
    call
        Takes and gives flat sequences.
    in_spec, out_spec
        The structures of its arguments and outputs, as JSON texts.
    num_runners
        Runs that go on side by side.
    """

    call: Call
    in_spec: str
    out_spec: str
    num_runners: int

    @property
    def num_inputs(self) -> int:
        """How many tensors it takes; 0 where it does not say."""
        tree = _spec(self.in_spec)
        return 0 if tree is None else tree.num_leaves

    @property
    def output_names(self) -> list[str]:
        """The names that its own structure gives its outputs."""
        tree = _spec(self.out_spec)
        return [] if tree is None else tree.names("output", tree.num_leaves)


def _spec(text: str) -> NameTree | None:
    try:
        return parse_spec(text)
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def open_package(path: str, name: str, device: torch.device) -> Package:
    """Load one package of an archive by torch's loader.

    torch unpacks the library into a temporary folder, loads it, and removes the folder with the loader.
    """
    index = -1 if device.type == "cpu" else (device.index or 0)
    loader = _aoti.AOTIModelPackageLoader(path, name, False, 1, index)
    run = loader.run

    def call(arguments: Sequence[Any]) -> Any:
        return run([argument for argument in arguments if isinstance(argument, torch.Tensor)])

    in_spec, out_spec = loader.get_call_spec()
    return Package(call, in_spec, out_spec, 1)


def compiled_for(stream: BinaryIO, listing: Listing, name: str) -> str | None:
    """Return the kind of device that a package was compiled for; None: it does not say."""
    for member in listing.sizes:
        if member.startswith(f"data/aotinductor/{name}/") and member.endswith("wrapper_metadata.json"):
            try:
                return str(json.loads(read_member(stream, listing, member, 1 << 20))["AOTI_DEVICE_KEY"])
            except (ValueError, KeyError, TypeError):  # ArchiveError is a ValueError
                return None
    return None


def arguments_of(
    said: MethodOptions, found: Sequence[Argument] | None, count: int, table: str
) -> tuple[Argument, ...]:
    """Return the arguments of a package that has no program beside it.

    Parameters
    ----------
    said
        What is configured: the i-th table of ``inputs`` describes the i-th input and names it.
    found
        What the generated source says; None: nothing.
    count
        How many the package takes.
    table
        The configuration's table, for texts.

    Raises
    ------
    DescriptionError
        They are not known well enough; says what to write.
    """
    if said.constants:
        msg = f"{table}.constants: an AOTInductor package takes tensors only"
        raise DescriptionError(msg)
    if not said.inputs and found is not None:
        return tuple(found)
    if len(said.inputs) != count:
        msg = (
            f"the AOTInductor package takes {count} tensors and does not say which: write in navi.toml, for each in "
            f'order, {table}.inputs.NAME = {{ dtype = "float32", shape = [-1, 16] }} with its own dtype and sizes, or put '
            "the exported program into the same archive"
        )
        raise DescriptionError(msg)
    arguments = []
    for index, (name, own) in enumerate(said.inputs.items()):
        known = None if found is None else found[index]
        shape = known.shape if own.shape is None and known is not None else shape_of(own.shape or ())
        if own.shape is None and known is None:
            msg = f"{table}.inputs.{name}.shape: an AOTInductor package does not say it: write it, -1 for any size"
            raise DescriptionError(msg)
        dtype = own.dtype or (DType.FLOAT32 if known is None else known.dtype)
        if known is not None and (dtype is not known.dtype or not _fits(shape or (), known.shape or ())):
            msg = f"{table}.inputs.{name}: expected {known.dtype} {list(known.shape or ())} as in the package, got {dtype} {list(shape or ())}"
            raise DescriptionError(msg)
        arguments.append(Argument(name=name, kind="tensor", dtype=dtype, shape=shape, is_written=True))
    return tuple(arguments)


def _fits(shape: Sequence[Dim], known: Sequence[Dim]) -> bool:
    return len(shape) == len(known) and all(
        not isinstance(want, int) or want == got for want, got in zip(known, shape, strict=True)
    )


# --- the generated source -----------------------------------------------------------------------------


def source_arguments(
    stream: BinaryIO, listing: Listing, name: str, in_spec: str
) -> tuple[list[Argument], dict[str, list[tuple[int | None, int | None]]]] | None:
    """Return what the package's C++ source says about its inputs, and the limits of their sizes.

    None where there is no such source, or it is not the text that is known here: then somebody has to say it.
    """
    folder = f"data/aotinductor/{name}/"
    sources = [each for each in listing.sizes if each.startswith(folder) and each.endswith(".wrapper.cpp")]
    if len(sources) != 1:
        return None
    try:
        text = read_member(stream, listing, sources[0], _MAX_SOURCE_BYTES).decode()
        spec = parse_spec(in_spec)
    except (ArchiveError, ValueError, KeyError, TypeError, IndexError):
        return None
    count = len(set(re.findall(r"static void check_input_(\d+)\(", text)))
    names = _input_names(spec, count)
    arguments, limits = [], {}
    for index in range(count):
        found = _checked_input(text, index)
        if found is None:
            return None
        dtype, sizes, ranges = found
        arguments.append(
            Argument(name=names[index], kind="tensor", dtype=dtype, shape=sizes, is_written=True)
        )
        limits[names[index]] = ranges
    return arguments, limits


def _input_names(spec: Any, count: int) -> list[str]:
    """Name positional inputs ``input_0``... and keyword ones by their keyword."""
    try:
        positional, keywords = (part for _, part in spec.parts)
        names = positional.names("input", count - len(keywords.parts or ()))
        names += [str(key) for key, _ in keywords.parts or ()]
    except (TypeError, ValueError):
        names = []
    return names if len(names) == count == len(set(names)) else [f"input_{index}" for index in range(count)]


def _checked_input(
    text: str, index: int
) -> tuple[DType, tuple[Dim, ...], list[tuple[int | None, int | None]]] | None:
    start = text.find(f"static void check_input_{index}(")
    end = text.find("\nAOTI_NOINLINE static", start)
    body = text[start : end if end > 0 else start + 100_000]
    dtype = re.search(r"_expected_dtype = aoti_torch_dtype_(\w+)\(\);", body)
    if dtype is None or dtype[1] not in _WORDS:
        return None
    fixed = {int(axis): int(size) for size, axis in re.findall(r"if \((\d+)L? != \w+_size\[(\d+)\]\)", body)}
    low = {int(axis): int(size) for axis, size in re.findall(r"if \(\w+_size\[(\d+)\] < (\d+)L?\)", body)}
    high = {int(axis): int(size) for axis, size in re.findall(r"if \(\w+_size\[(\d+)\] > (\d+)L?\)", body)}
    axes = {int(axis) for axis in re.findall(r"_(?:size|stride)\[(\d+)\]", body)}
    rank = max(axes, default=-1) + 1
    sizes = tuple(fixed.get(axis) for axis in range(rank))
    # torch assumes 2 and more of every dynamic size while compiling, and runs smaller ones all the same
    ranges = [(None if low.get(axis, 2) <= 2 else low[axis], high.get(axis)) for axis in range(rank)]
    return _WORDS[dtype[1]], sizes, ranges
