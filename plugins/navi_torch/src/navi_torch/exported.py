"""torch.export: load the programs of an archive that was checked, as flat calls.

The pieces of the archive that torch would unpickle without restriction are refused before (:mod:`.program`), or tried
with torch's restricted unpickler first: example inputs and, in older archives, weights, which torch reads
unrestricted as soon as that one refuses them.

The module that torch makes of a program spends most of a small model's time on trees of arguments and on guards.
Here it takes and gives flat sequences, and sizes are checked by navi; where a program has guards of its own
beside its sizes, torch checks them all.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import torch
from torch.export.passes import move_to_device_pass
from torch.export.pt2_archive import _package
from torch.fx.graph import CodeGen

from navi_core import DType
from navi_torch.archive import Listing, read_member
from navi_torch.checks import SizeChecks, dim_checks
from navi_torch.expressions import Expression
from navi_torch.method import Argument, Call, DescriptionError, Dim, OutputTensor
from navi_torch.options import MethodOptions
from navi_torch.probe import shape_of
from navi_torch.program import Program, ProgramTensor, read_program
from navi_torch.program_checks import ProgramError, check_payloads

__all__ = ["arguments_of", "checks_of", "load_calls", "outputs_of", "read_programs", "shown_sizes"]

_MAX_PROGRAM_BYTES: Final = 1 << 30
_MAX_CONFIG_BYTES: Final = 256 << 20

_LOADING: Final = threading.Lock()
"""torch reads one program at a time: its reader keeps itself in a global variable, and fails beside another."""


def read_programs(stream: BinaryIO, listing: Listing) -> Mapping[str, Program]:
    """Read and check what the archive says about each of its programs.

    Raises
    ------
    ProgramError, ArchiveError
        Something in it is not to be loaded.
    """
    return {
        name: read_program(read_member(stream, listing, f"models/{name}.json", _MAX_PROGRAM_BYTES))
        for name in listing.programs
    }


def check_data(stream: BinaryIO, listing: Listing) -> None:
    """See that nothing in the archive would be unpickled without restriction.

    Raises
    ------
    ProgramError, ArchiveError
        Something would.
    """
    for name in listing.programs:
        for folder, config in (
            ("data/weights/", f"{name}_weights_config.json"),
            ("data/constants/", f"{name}_constants_config.json"),
        ):
            if folder + config in listing.sizes:
                content = read_member(stream, listing, folder + config, _MAX_CONFIG_BYTES)
                check_payloads(content, listing.sizes, folder)
            _check_pickle(stream, listing, f"{folder}{name}.pt")
        _check_pickle(stream, listing, f"data/sample_inputs/{name}.pt")


def _check_pickle(stream: BinaryIO, listing: Listing, name: str) -> None:
    """Try a pickle with torch's restricted unpickler."""
    size_bytes = listing.sizes.get(name)
    if not size_bytes:
        return
    content = io.BytesIO(read_member(stream, listing, name, size_bytes))
    try:
        torch.load(content, map_location="meta", weights_only=True)
    except Exception as error:
        msg = (
            f"its '{name}' is a pickle of more than tensors, which is not read: unpickling runs code. Export with plain "
            "tensors in tuples, lists and dicts as example inputs"
        )
        raise ProgramError(msg) from error


def load_calls(
    stream: BinaryIO, listing: Listing, programs: Mapping[str, Program], device: torch.device
) -> dict[str, Call]:
    """Load every program and return it as a function of flat arguments.

    Raises
    ------
    ProgramError
        The archive holds what must not be unpickled.
    Exception
        torch's own, where it cannot be loaded.
    """
    check_data(stream, listing)
    calls = {}
    with _LOADING:
        stream.seek(0)
        contents = _package.load_pt2(stream)
        for name, exported in contents.exported_programs.items():
            if device.type != "cpu":
                exported = move_to_device_pass(exported, device)  # noqa: PLW2901 - the same program elsewhere
            calls[name] = _flat_call(exported, has_guards=needs_guards(programs[name]))
    return calls


def needs_guards(program: Program) -> bool:
    """Tell whether torch has to check what navi cannot: conditions, and sizes of symbols that stand nowhere alone."""
    alone = {size for tensor in program.inputs for size in tensor.sizes if isinstance(size, str)}
    known = dict.fromkeys(alone, 3)
    return program.has_guards or any(
        isinstance(size, Expression) and size.evaluate(known) is None
        for tensor in program.inputs
        for size in tensor.sizes
    )


def _flat_call(exported: torch.export.ExportedProgram, *, has_guards: bool) -> Call:
    module = exported.module(check_guards=has_guards)
    module.graph.set_codegen(CodeGen())
    module.recompile()
    # The module refers to itself through these, so that its weights would stay after their version is unloaded
    # until Python happens to look for cycles. None of them is needed to call it.
    module.graph.owning_module = None
    for name in ("_graph", "train", "eval"):
        module.__dict__.pop(name, None)
    module._forward_pre_hooks.clear()  # noqa: SLF001 - checks of a call by its own name, which is not used
    forward = module.forward

    def call(arguments: Sequence[Any]) -> Any:
        return forward(*arguments)

    return call


# --- what a program takes and gives -------------------------------------------------------------------


def arguments_of(program: Program, said: MethodOptions, table: str) -> tuple[Argument, ...]:
    """Return the arguments of a program's flat call.

    Raises
    ------
    DescriptionError
        The configuration names an input that is not there, or contradicts the program.
    """
    names = [tensor.name for tensor in program.inputs]
    for each in (*said.inputs, *said.constants):
        if each not in names:
            msg = f"{table}: expected some of {{{', '.join(names)}}}, got '{each}'"
            raise DescriptionError(msg)
    arguments = []
    for tensor in program.inputs:
        own = said.inputs.get(tensor.name)
        if tensor.dtype is not None:
            shape = shown_sizes(tensor)
            if own is not None and own.dtype not in (None, tensor.dtype):
                msg = f"{table}.inputs.{tensor.name}.dtype: expected {tensor.dtype} as in the model, got {own.dtype}"
                raise DescriptionError(msg)
            if own is not None and own.shape is not None:
                shape = _narrowed(tensor, shape_of(own.shape), f"{table}.inputs.{tensor.name}.shape")
            is_written = tensor.name in program.changed_inputs
            arguments.append(
                Argument(
                    name=tensor.name, kind="tensor", dtype=tensor.dtype, shape=shape, is_written=is_written
                )
            )
        elif tensor.symbol is None:
            value = said.constants.get(tensor.name, tensor.value)
            if value != tensor.value:
                msg = f"{table}.constants.{tensor.name}: expected {tensor.value!r} as in the model, got {value!r}"
                raise DescriptionError(msg)
            arguments.append(Argument(name=tensor.name, kind="fixed", value=tensor.value))
        else:
            arguments.append(_whole_number(tensor, said, table))
    return tuple(arguments)


def _whole_number(tensor: ProgramTensor, said: MethodOptions, table: str) -> Argument:
    if tensor.name in said.constants:
        value = said.constants[tensor.name]
        if not isinstance(value, int) or isinstance(value, bool):
            msg = f"{table}.constants.{tensor.name}: expected a whole number, got {value!r}"
            raise DescriptionError(msg)
        return Argument(name=tensor.name, kind="fixed", value=value)
    own = said.inputs.get(tensor.name)
    shape = () if own is None or own.shape is None else shape_of(own.shape)
    dtype = DType.INT64 if own is None or own.dtype is None else own.dtype
    return Argument(name=tensor.name, kind="scalar", dtype=dtype, shape=shape, value=3)


def _narrowed(tensor: ProgramTensor, shape: tuple[Dim, ...], where: str) -> tuple[Dim, ...]:
    known = tensor.sizes
    if len(shape) != len(known) or any(
        isinstance(a, int) and a != b for a, b in zip(known, shape, strict=True)
    ):
        msg = f"{where}: expected a shape that fits the model's ({', '.join(map(str, shown_sizes(tensor)))}), got {list(shape)}"
        raise DescriptionError(msg)
    return shape


def shown_sizes(tensor: ProgramTensor) -> tuple[Dim, ...]:
    """Return a tensor's shape as a signature shows it: an expression stands as its text, like a symbol."""
    return tuple(size.text if isinstance(size, Expression) else size for size in tensor.sizes)


def checks_of(program: Program) -> SizeChecks | None:
    """Return what is checked of a request before the call."""
    return dim_checks({tensor.name: tensor.sizes for tensor in program.inputs}, program.ranges)


def outputs_of(program: Program, said: MethodOptions) -> tuple[OutputTensor, ...]:
    """Return a program's outputs: tensors, and numbers that it computes or always gives.

    Raises
    ------
    DescriptionError
        The configured names do not fit.
    """
    given = [
        (index, tensor)
        for index, tensor in enumerate(program.outputs)
        if tensor.dtype is not None or tensor.value is not None or tensor.symbol is not None
    ]
    names = said.output_names or tuple(tensor.name for _, tensor in given)
    if len(names) != len(given) or len(set(names)) != len(names):
        msg = f"output_names: expected {len(given)} different names, got {{{', '.join(names)}}}"
        raise DescriptionError(msg)
    outputs = []
    for name, (index, tensor) in zip(names, given, strict=True):
        if tensor.dtype is not None:
            outputs.append(
                OutputTensor(name=name, index=index, dtype=tensor.dtype, shape=shown_sizes(tensor))
            )
        else:
            kinds = {bool: DType.BOOL, float: DType.FLOAT64}
            dtype = kinds.get(type(tensor.value), DType.INT64)
            outputs.append(OutputTensor(name=name, index=index, dtype=dtype, shape=()))
    return tuple(outputs)
