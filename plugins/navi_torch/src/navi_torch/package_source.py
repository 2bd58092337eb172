"""What the C++ source in an AOTInductor package says about its inputs. Imports no torch.

torch (2.13) packs the source beside the library. It holds checks of the inputs, which run only where an environment
variable asks for them: a function for each input with its dtype and the limits of its sizes, and a line with the sizes
themselves, where equal symbols are equal sizes::

    if (_check_aoti_runtime_check_inputs_env()) { assert_size_stride(arg4_1, {s31, 16L}, {16L, 1L}, "input"); }

What is not exactly that text is not read: then the configuration has to say it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from navi_core import DType
from navi_torch.archive import ArchiveError, Listing, read_member
from navi_torch.expressions import Expression, ExpressionError, parse_size
from navi_torch.names import NameTree, parse_spec

__all__ = ["SourceInput", "source_inputs"]

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
class SourceInput:
    """One input as the source checks it.

    Parameters
    ----------
    name
        Its keyword; ``input_0``... where it has none.
    dtype, sizes
        What it must be.
    limits
        Symbol -> smallest and largest size; None: no limit.
    """

    name: str
    dtype: DType
    sizes: tuple[int | str | Expression, ...]
    limits: Mapping[str, tuple[int | None, int | None]]


def source_inputs(
    stream: BinaryIO, listing: Listing, name: str, in_spec: str
) -> tuple[SourceInput, ...] | None:
    """Return what a package's source says about its inputs, in order; None: it does not say all of it."""
    folder = f"data/aotinductor/{name}/"
    sources = [each for each in listing.sizes if each.startswith(folder) and each.endswith(".wrapper.cpp")]
    if len(sources) != 1:
        return None
    try:
        text = read_member(stream, listing, sources[0], _MAX_SOURCE_BYTES).decode()
        names = _input_names(parse_spec(in_spec))
        return tuple(_input(text, index, each) for index, each in enumerate(names))
    except (ArchiveError, ExpressionError, ValueError, KeyError, TypeError, IndexError):
        return None


def _input_names(spec: NameTree) -> list[str]:
    """Name keyword arguments by their keyword and positional ones by their position."""
    (_, positional), (_, keywords) = spec.parts or ()
    names = positional.names("input", positional.num_leaves)
    names += keywords.names("input", keywords.num_leaves) if keywords.parts else []
    if len(set(names)) != len(names):
        return [f"input_{index}" for index in range(len(names))]
    return names


def _input(text: str, index: int, name: str) -> SourceInput:
    """Read one input; raises ValueError where the text is another than is known here."""
    start = text.index(f"static void check_input_{index}(")
    body = text[start : text.find("\nAOTI_NOINLINE static", start)]
    dtype = _WORDS[_only(r"_expected_dtype = aoti_torch_dtype_(\w+)\(\);", body)]
    variable = _only(rf'inputs_info_\[{index}\]\.name = "(\w+)";', text)
    shape = _only(rf'assert_size_stride\({variable}, {{([^}}]*)}}, {{[^}}]*}}, "input"\)', text)
    sizes = tuple(
        parse_size(re.sub(r"(\d)L\b", r"\1", size.strip())) for size in shape.split(",") if size.strip()
    )
    low = {int(axis): int(size) for axis, size in re.findall(r"if \(\w+_size\[(\d+)\] < (\d+)L?\)", body)}
    high = {int(axis): int(size) for axis, size in re.findall(r"if \(\w+_size\[(\d+)\] > (\d+)L?\)", body)}
    # torch assumes 2 and more of every dynamic size while compiling, and runs smaller ones all the same
    limits = {
        size: (low[axis] if low.get(axis, 2) > 2 else None, high.get(axis))
        for axis, size in enumerate(sizes)
        if isinstance(size, str)
    }
    return SourceInput(name, dtype, sizes, limits)


def _only(pattern: str, text: str) -> str:
    """Return the one thing that a pattern finds; raises ValueError where there are none or several."""
    (found,) = set(re.findall(pattern, text))
    return str(found)
