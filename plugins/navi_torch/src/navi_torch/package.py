"""AOTInductor packages: native code that was compiled for one kind of machine.

A package holds no dtypes and sizes where it can be asked for them. In this order they come from the exported program,
if the archive has it beside the code; from what is configured; and from the C++ source that torch packs beside the
library, whose (disabled) checks of the inputs state them.

The loader's ``run`` holds the GIL from start to end (torch 2.13), so a long run stops everything else that is Python
in the process, the event loop included: where that is possible the library is called directly (:mod:`.native`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import torch
from torch._C import _aoti

from navi_core import DType
from navi_torch.archive import Listing, read_member
from navi_torch.method import Argument, Call, DescriptionError, Dim
from navi_torch.names import NameTree, parse_spec
from navi_torch.options import MethodOptions, TensorOptions
from navi_torch.probe import shape_of

__all__ = ["GIL_NOTE", "ROWS", "Package", "arguments_of", "compiled_for", "open_package"]

ROWS: Final = "rows"
"""The symbol of the leading size, where nothing names it."""

GIL_NOTE: Final = (
    "torch's AOTInductor loader holds the interpreter's lock while it runs: other models and the network wait for each "
    "run; serve large models of this kind in a process of their own, or as TorchScript"
)


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
        where = f"{table}.inputs.{name}"
        if own.shape is None and known is None:
            msg = f"{where}.shape: an AOTInductor package does not say it: write it, -1 for any size"
            raise DescriptionError(msg)
        if known is not None and not _agrees(own, known):
            msg = f"{where}: expected {known.dtype} {_shown(known.shape)} as in the package, got {own.dtype or known.dtype} {list(own.shape or ())}"
            raise DescriptionError(msg)
        shape = _with_rows(own.shape or ()) if known is None else known.shape
        dtype = own.dtype or DType.FLOAT32 if known is None else known.dtype
        arguments.append(Argument(name=name, kind="tensor", dtype=dtype, shape=shape, is_written=True))
    return tuple(arguments)


def _with_rows(said: Sequence[int | str]) -> tuple[Dim, ...]:
    """Return a configured shape whose leading -1 is one symbol for all inputs.

    A library reads as many rows of each input as the first has, without looking: where they may differ, the
    configuration gives their sizes names of their own.
    """
    shape = shape_of(said)
    return (ROWS, *shape[1:]) if shape and shape[0] is None else shape


def _agrees(own: TensorOptions, known: Argument) -> bool:
    shape = known.shape or ()
    return own.dtype in (None, known.dtype) and (
        own.shape is None
        or (
            len(own.shape) == len(shape)
            and all(
                not isinstance(want, int) or want == got for want, got in zip(shape, own.shape, strict=True)
            )
        )
    )


def _shown(shape: Sequence[Dim] | None) -> list[Dim]:
    return [dim if isinstance(dim, int) else -1 for dim in shape or ()]
