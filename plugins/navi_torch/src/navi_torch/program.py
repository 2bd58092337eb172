"""What the archive of an exported program says: tensors, sizes, names, what it changes. Imports no torch.

Read from ``models/NAME.json``, which torch.export writes beside the weights, once it is checked
(:mod:`navi_torch.program_checks`).

The format is that of torch 2.13 (archive version 0, schema 8). Sizes come as numbers or as expressions of symbols,
and ``range_constraints`` has each symbol's smallest and largest value; a smallest value of 2 says nothing, since
torch assumes it of every dynamic size while exporting and does not check it either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from navi_core import DType
from navi_torch.expressions import Expression, ExpressionError, parse_size
from navi_torch.names import parse_spec
from navi_torch.program_changes import changes_of
from navi_torch.program_checks import IDENTIFIER, ProgramError, check_document

__all__ = ["Program", "ProgramTensor", "Size", "read_program"]

Size = int | str | Expression

# torch.export's numbers of scalar types (torch._export.serde.schema.ScalarType)
_DTYPES: Final = {
    1: DType.UINT8,
    2: DType.INT8,
    3: DType.INT16,
    4: DType.INT32,
    5: DType.INT64,
    6: DType.FLOAT16,
    7: DType.FLOAT32,
    8: DType.FLOAT64,
    10: DType.COMPLEX64,
    11: DType.COMPLEX128,
    12: DType.BOOL,
    13: DType.BFLOAT16,
    28: DType.UINT16,
    29: DType.FLOAT8_E4M3FN,
    30: DType.FLOAT8_E5M2,
    31: DType.FLOAT8_E4M3FNUZ,
    32: DType.FLOAT8_E5M2FNUZ,
    34: DType.UINT32,
    35: DType.UINT64,
}


@dataclass(frozen=True, slots=True)
class ProgramTensor:
    """One input or output.

    Parameters
    ----------
    name
        From the program's own argument and output names.
    dtype
        None: it is no tensor.
    sizes
        One entry a dimension.
    value
        What an input that is no tensor must be, or an output that is none is.
    symbol
        Where an input is a whole number of any value: the symbol that stands for it.
    """

    name: str
    dtype: DType | None
    sizes: tuple[Size, ...] = ()
    value: Any = None
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """One exported program.

    Parameters
    ----------
    inputs, outputs
        In the order of the flat call.
    ranges
        Symbol -> smallest and largest value; None: no limit.
    has_guards
        The program has conditions beside its sizes, which torch checks when it is called.
    changed_inputs
        Names of inputs that a call writes to.
    state
        Names of buffers that a call changes.
    """

    inputs: tuple[ProgramTensor, ...]
    outputs: tuple[ProgramTensor, ...]
    ranges: Mapping[str, tuple[int | None, int | None]]
    has_guards: bool
    changed_inputs: frozenset[str]
    state: tuple[str, ...]


def read_program(content: bytes) -> Program:
    """Read and check one ``models/NAME.json``.

    Raises
    ------
    ProgramError
        It is damaged, or holds what torch.export does not write.
    """
    try:
        document = json.loads(content)
        check_document(document)
        return _program(document)
    except ProgramError:
        raise
    except ExpressionError as error:
        raise ProgramError(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        msg = "the description of its program is damaged, or of a version of torch that is not known here"
        raise ProgramError(msg) from error


# --- what it says -------------------------------------------------------------------------------------


def _program(document: Any) -> Program:
    module = document["graph_module"]
    graph, signature = module["graph"], module["signature"]
    call = module["module_call_graph"][0]["signature"]
    fields = {
        name: tuple(value["field_names"])
        for name, value in (module.get("treespec_namedtuple_fields") or {}).items()
    }
    values = graph["tensor_values"]
    inputs = [_input(spec, values, graph) for spec in signature["input_specs"]]
    outputs = [spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec]
    names = parse_spec(call["out_spec"], fields).names("output", len(outputs))
    changes = list(changes_of(document))
    return Program(
        inputs=tuple(item for item in inputs if item is not None),
        outputs=tuple(_output(name, arg, values) for name, arg in zip(names, outputs, strict=True)),
        ranges={
            name: _range(limits)
            for name, limits in document["range_constraints"].items()
            if IDENTIFIER.fullmatch(name)  # those of expressions follow from their symbols'
        },
        has_guards=bool(document.get("guards_code")),
        changed_inputs=frozenset(name for kind, name in changes if kind == "input"),
        state=tuple(dict.fromkeys(name for kind, name in changes if kind == "state")),
    )


def _range(limits: Mapping[str, int | None]) -> tuple[int | None, int | None]:
    low, high = limits.get("min_val"), limits.get("max_val")
    return (None if low is None or low in (0, 2) else int(low), None if high is None else int(high))


def _input(spec: Any, values: Mapping[str, Any], graph: Any) -> ProgramTensor | None:
    if "constant_input" in spec:
        constant = spec["constant_input"]
        return ProgramTensor(constant["name"], None, value=_only_value(constant["value"]))
    if "user_input" not in spec:
        return None
    arg = spec["user_input"]["arg"]
    if "as_tensor" in arg:
        name = arg["as_tensor"]["name"]
        dtype, sizes = _tensor(name, values)
        return ProgramTensor(name, dtype, sizes)
    if "as_sym_int" in arg:
        name = arg["as_sym_int"]["as_name"]
        size = _size(graph["sym_int_values"][name])
        return ProgramTensor(name, None, symbol=size if isinstance(size, str) else name)
    kind = next(iter(arg))
    msg = f"input {arg[kind]!r:.80} is neither a tensor nor a whole number"
    raise ProgramError(msg)


def _output(name: str, arg: Any, values: Mapping[str, Any]) -> ProgramTensor:
    if "as_tensor" in arg:
        dtype, sizes = _tensor(arg["as_tensor"]["name"], values)
        return ProgramTensor(name, dtype, sizes)
    if set(arg) & {"as_int", "as_float", "as_bool", "as_none"}:
        return ProgramTensor(name, None, value=None if "as_none" in arg else _only_value(arg))
    if "as_sym_int" in arg:
        return ProgramTensor(name, None, symbol=name)
    msg = f"output '{name}' is neither a tensor nor a number"
    raise ProgramError(msg)


def _only_value(tagged: Any) -> Any:
    kind, value = next(iter(tagged.items()))
    return None if kind == "as_none" else value


def _tensor(name: str, values: Mapping[str, Any]) -> tuple[DType, tuple[Size, ...]]:
    meta = values[name]
    dtype = _DTYPES.get(meta["dtype"])
    if dtype is None:
        msg = f"tensor '{name}' is of torch's scalar type {meta['dtype']}, which is not served"
        raise ProgramError(msg)
    return dtype, tuple(_size(size) for size in meta["sizes"])


def _size(tagged: Any) -> Size:
    return int(tagged["as_int"]) if "as_int" in tagged else parse_size(tagged["as_expr"]["expr_str"])
