"""TorchScript: open an archive, and read from it what its methods take.

Loading goes through functions below ``torch.jit.load``, since that one warns that TorchScript is deprecated at
every call, and Python's warning filters cannot be changed from several loader threads at once.

A scripted method knows its arguments' names and kinds, but neither dtypes nor sizes of tensors. In this order they
come from what is configured, from the inputs that the model was traced with, and, where it is one matrix in front
of linear layers, from trial runs: the only width of a weight that the model accepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch

from navi_core import DType
from navi_torch.convert import dtype_of_tensor
from navi_torch.errors import clean_text
from navi_torch.method import Argument, Call, DescriptionError, Dim
from navi_torch.options import MethodOptions, TensorOptions
from navi_torch.probe import shape_of, zeros
from navi_torch.script_reading import NotReadableError, read_unlocked
from navi_torch.traced import TracedTensor

__all__ = ["arguments_of", "call_of", "default_method", "open_module", "public_methods"]

_SCALAR_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "IntType": (int,),
    "FloatType": (float, int),
    "BoolType": (bool,),
    "StringType": (str,),
    "NumberType": (float, int),
}
_SCALAR_DTYPES: Final[Mapping[str, frozenset[DType]]] = {
    "IntType": frozenset(
        {DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.UINT8, DType.UINT16, DType.UINT32}
    ),
    "FloatType": frozenset({DType.FLOAT16, DType.FLOAT32, DType.FLOAT64}),
    "BoolType": frozenset({DType.BOOL}),
    "StringType": frozenset({DType.STRING}),
    "NumberType": frozenset({DType.INT32, DType.INT64, DType.FLOAT32, DType.FLOAT64}),
}
_SCALAR_DEFAULTS: Final[Mapping[str, DType]] = {
    "IntType": DType.INT64,
    "FloatType": DType.FLOAT64,
    "BoolType": DType.BOOL,
    "StringType": DType.STRING,
    "NumberType": DType.FLOAT64,
}
_MAX_WIDTHS: Final = 16
_MAX_TAKEN_BYTES: Final = 32 << 20
"""What is larger goes back to the system as soon as it is free."""
_FLOATING: Final = frozenset({DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64})


def open_module(
    stream: BinaryIO, path: str | None, device: torch.device
) -> tuple[torch.jit.ScriptModule, str]:
    """Load a module in evaluation mode. Not under inference mode: its weights would be bound to it.

    Parameters
    ----------
    stream
        The file.
    path
        The file's path, where it has one: torch reads it without a copy of the bytes in memory.
    device
        Where the weights go.

    Returns
    -------
    module
        The module.
    note
        Why its weights could not be read without Python's lock; empty: they were, or go to another device.
    """
    note = ""
    loaded = None
    if device.type == "cpu":
        try:
            loaded = read_unlocked(stream)
        except Exception as error:  # whatever is different in this file or this torch
            why = str(error) if isinstance(error, NotReadableError) else f"{type(error).__name__}: {error}"
            note = (
                f"torch read its weights by itself, and held Python's lock meanwhile: {clean_text(why)[:200]}"
            )
    if loaded is None:
        loaded = _read_locked(stream, path, device)
    module = torch.jit._recursive.wrap_cpp_module(loaded)  # noqa: SLF001
    module.eval()
    return module, note


def _read_locked(stream: BinaryIO, path: str | None, device: torch.device) -> Any:
    """Have torch read the file. It keeps Python's lock meanwhile."""
    unit = torch._C.CompilationUnit()  # noqa: SLF001 - see the module's text
    if path is not None:
        _take_memory(Path(path).stat().st_size)
        return torch._C.import_ir_module(unit, path, device, {}, False)  # noqa: SLF001
    stream.seek(0)
    return torch._C.import_ir_module_from_buffer(unit, stream.read(), device, {}, False)  # noqa: SLF001


def _take_memory(size_bytes: int) -> None:
    """Have memory for weights ready in the allocator, so that torch does not wait for it with Python's lock held.

    Memory that the process has not had before takes longer to come than to fill. This takes it, writes to it without
    the lock, and gives it back for torch to find.
    """
    torch.empty(min(size_bytes, _MAX_TAKEN_BYTES), dtype=torch.uint8).zero_()


def public_methods(module: torch.jit.ScriptModule) -> tuple[str, ...]:
    """Return the names of the methods that may be served."""
    return tuple(name for name in module._c._method_names() if not name.startswith("_"))  # noqa: SLF001


def default_method(names: Sequence[str], wanted: str | None) -> str:
    """Return the method to serve as the default signature.

    Raises
    ------
    DescriptionError
        There is none, or not the one that the configuration names.
    """
    if wanted is not None and wanted not in names:
        msg = f"signature: expected one of {{{', '.join(names)}}}, got '{wanted}'"
        raise DescriptionError(msg)
    for name in (wanted, "forward_serve", "forward"):
        if name is not None and name in names:
            return name
    msg = f'expected a method forward_serve or forward, the module has {{{", ".join(names)}}}; name one with signature = "..."'
    raise DescriptionError(msg)


def call_of(module: torch.jit.ScriptModule, name: str) -> Call:
    """Return a method as a function of a list of arguments."""
    method = module._c._get_method(name)  # noqa: SLF001 - a bound method without Python's detours

    def call(arguments: Sequence[Any]) -> Any:
        return method(*arguments)

    return call


def arguments_of(
    module: torch.jit.ScriptModule,
    name: str,
    said: MethodOptions,
    traced: Sequence[Any],
    table: str,
    device: torch.device,
    *,
    may_try: bool,
) -> tuple[Argument, ...]:
    """Return a method's arguments.

    Parameters
    ----------
    module, name
        The method.
    said
        What is configured.
    traced
        The arguments that it was traced with; empty: it was scripted.
    table
        The configuration's table for this method, for texts.
    device
        Where trial runs go.
    may_try
        Trial runs may be made to find out a width.

    Raises
    ------
    DescriptionError
        An argument is not known well enough; says what to write.
    """
    schema = module._c._get_method(name).schema.arguments[1:]  # noqa: SLF001 - without self
    names = [arg.name for arg in schema]
    for kind in ("inputs", "constants"):
        for each in getattr(said, kind):
            if each not in names:
                msg = f"{table}.{kind}: expected some of {{{', '.join(names)}}}, got '{each}'"
                raise DescriptionError(msg)
    arguments: list[Argument | None] = []
    for index, arg in enumerate(schema):
        example = traced[index] if index < len(traced) else None
        arguments.append(_argument(arg, said, example, module, table))
    missing = [arg.name for arg, found in zip(schema, arguments, strict=True) if found is None]
    if len(missing) == 1 and may_try:
        index = arguments.index(None)
        width = _only_width(module, name, [item for item in arguments if item is not None], index, device)
        if width is not None:
            arguments[index] = Argument(
                name=missing[0], kind="tensor", dtype=width[0], shape=(None, width[1])
            )
            missing = []
    if missing:
        lines = "; ".join(
            f'{table}.inputs.{each} = {{ dtype = "float32", shape = [-1, 16] }}' for each in missing
        )
        msg = (
            f"TorchScript does not say what {', '.join(missing)} of {name}() must be: write in navi.toml, with its own "
            f"dtype and sizes (-1: any size), {lines}"
        )
        raise DescriptionError(msg)
    return tuple(item for item in arguments if item is not None)


def _argument(
    arg: Any, said: MethodOptions, example: Any, module: torch.jit.ScriptModule, table: str
) -> Argument | None:
    """Return one argument; None: it is a tensor of which nothing is known."""
    own = said.inputs.get(arg.name)
    kind = arg.type.kind()
    optional = False
    if kind == "OptionalType":
        optional, kind = True, arg.type.getElementType().kind()
    if kind == "TensorType":
        if arg.name in said.constants:
            msg = f"{table}.constants.{arg.name}: it is a tensor: describe it in {table}.inputs.{arg.name}"
            raise DescriptionError(msg)
        if arg.has_default_value() and own is None:
            return Argument(name=arg.name, kind="fixed", value=arg.default_value)
        return _tensor(arg, own, example, module, optional=arg.has_default_value())
    if kind in _SCALAR_KINDS:
        return _scalar(arg, kind, own, said, example, table, is_optional=optional)
    if arg.has_default_value() and own is None:
        return Argument(name=arg.name, kind="fixed", value=arg.default_value)
    msg = (
        f"argument '{arg.name}' is {arg.type}, which no request carries: wrap the module in one whose forward_serve "
        "takes tensors and numbers"
    )
    raise DescriptionError(msg)


def _tensor(
    arg: Any, own: TensorOptions | None, example: Any, module: torch.jit.ScriptModule, *, optional: bool
) -> Argument | None:
    dtype: DType | None = None
    shape: tuple[Dim, ...] | None = None
    if isinstance(example, TracedTensor):
        dtype = example.dtype
        shape = (None, *example.shape[1:]) if example.shape else ()
    if own is not None:
        dtype = own.dtype or dtype
        shape = shape if own.shape is None else shape_of(own.shape)
    if shape is None:
        return None
    return Argument(
        name=arg.name,
        kind="tensor",
        dtype=dtype or _dtype_of_weights(module),
        shape=shape,
        optional=optional,
        value=arg.default_value if optional else None,
    )


def _dtype_of_weights(module: torch.jit.ScriptModule) -> DType:
    """Return the floating type of all weights; float32 where there are several or none."""
    found = {dtype_of_tensor(each) for each in module.parameters()} & _FLOATING
    return found.pop() if len(found) == 1 else DType.FLOAT32  # type: ignore[return-value]  # None is no floating type


def _scalar(
    arg: Any,
    kind: str,
    own: TensorOptions | None,
    said: MethodOptions,
    example: Any,
    table: str,
    *,
    is_optional: bool,
) -> Argument:
    if arg.name in said.constants:
        if own is not None:
            msg = f"argument '{arg.name}' is fixed in {table}.constants and an input in {table}.inputs: keep one"
            raise DescriptionError(msg)
        value = said.constants[arg.name]
        if not isinstance(value, _SCALAR_KINDS[kind]) or (isinstance(value, bool) and kind != "BoolType"):
            msg = f"{table}.constants.{arg.name}: expected {arg.type}, got {value!r}"
            raise DescriptionError(msg)
        return Argument(name=arg.name, kind="fixed", value=float(value) if kind == "FloatType" else value)
    default = arg.default_value if arg.has_default_value() else None
    if own is not None:
        dtype = own.dtype or _SCALAR_DEFAULTS[kind]
        shape = () if own.shape is None else shape_of(own.shape)
        if dtype not in _SCALAR_DTYPES[kind] or any(dim != 1 for dim in shape):
            msg = (
                f"{table}.inputs.{arg.name}: the argument is {arg.type}: expected a tensor of one element, [] or [1], of "
                f"{{{', '.join(sorted(_SCALAR_DTYPES[kind]))}}}, got {dtype} {list(own.shape or ())}"
            )
            raise DescriptionError(msg)
        return Argument(
            name=arg.name,
            kind="scalar",
            dtype=dtype,
            shape=shape,
            optional=arg.has_default_value(),
            value=default,
        )
    if arg.has_default_value():
        return Argument(name=arg.name, kind="fixed", value=default)
    if isinstance(example, _SCALAR_KINDS[kind]):
        return Argument(name=arg.name, kind="fixed", value=example)
    if is_optional:
        return Argument(name=arg.name, kind="fixed", value=None)
    msg = (
        f"argument '{arg.name}' is {arg.type}, no tensor: fix it in navi.toml, {table}.constants.{arg.name} = ..., or take it "
        f'from requests, {table}.inputs.{arg.name} = {{ dtype = "{_SCALAR_DEFAULTS[kind]}", shape = [] }}'
    )
    raise DescriptionError(msg)


def _only_width(
    module: torch.jit.ScriptModule, name: str, others: Sequence[Argument], index: int, device: torch.device
) -> tuple[DType, int] | None:
    """Return dtype and width of the only matrix that a method accepts; None: there are several, or none.

    Widths are those that its weights multiply with: a linear layer's second size.
    """
    widths = dict.fromkeys(int(weight.shape[1]) for weight in module.parameters() if weight.dim() == 2)
    if not widths or len(widths) > _MAX_WIDTHS:
        return None
    dtype = _dtype_of_weights(module)
    call = call_of(module, name)
    accepted = []
    for width in widths:
        trial = Argument(name="", kind="tensor", dtype=dtype, shape=(None, width))
        arguments = [*others[:index], trial, *others[index:]]
        try:
            with torch.inference_mode():
                call([zeros(argument, 2, 8, device) for argument in arguments])
        except Exception:  # noqa: S112 - whatever it says, it does not take this width
            continue
        accepted.append(width)
    return (dtype, accepted[0]) if len(accepted) == 1 else None
