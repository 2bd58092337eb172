"""Find operators with which a request's numbers can end the process.

A Rust panic inside tract cannot be caught from Python: it aborts the process, with every model in it. tract
0.23 panics on an index out of bounds, on an integer division by zero and on a size that cannot be
allocated, where these come from integers of the request. Whether a model has such an operator is seen in
its graph: integers come in with integer inputs and from casts, and go where their results go. Casts of
truth values are no such source: compiled tree ensembles find their way by them, within bounds of their own.

What depends on shapes alone is found by running each plan once in a process of its own (the rehearsal).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from navi_tract.onnx_graph import Graph, Node, OnnxFile

__all__ = ["nnef_hazards", "onnx_hazards"]

_INTEGERS: Final = frozenset({2, 3, 4, 5, 6, 7, 12, 13})  # of TensorProto.DataType: (u)int8 to (u)int64

# Operator -> the inputs whose numbers matter, and what they are.
_HAZARDS: Final[dict[str, tuple[Sequence[int], str]]] = {
    "ArrayFeatureExtractor": ((1,), "indices"),
    "ConstantOfShape": ((0,), "a size"),
    "Div": ((1,), "an integer divisor"),
    "Gather": ((1,), "indices"),
    "GatherElements": ((1,), "indices"),
    "GatherND": ((1,), "indices"),
    "Mod": ((1,), "an integer divisor"),
    "OneHot": ((0, 1), "indices"),
    "Range": ((0, 1, 2), "a size"),
    "Scatter": ((1,), "indices"),
    "ScatterElements": ((1,), "indices"),
    "ScatterND": ((1,), "indices"),
    "Slice": ((1, 2, 3, 4), "bounds"),
    "TopK": ((1,), "a size"),
}

_TRUTHS: Final = frozenset(
    {
        "And",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "IsInf",
        "IsNaN",
        "Less",
        "LessOrEqual",
        "Not",
        "Or",
        "Xor",
    }
)
_ARRANGING: Final = frozenset(
    {"Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators whose results are elements of their first input."""

_BOOL: Final = 9  # of TensorProto.DataType

_SIZES: Final = frozenset({"Shape", "Size"})  # they look at shapes, which are bounded, and at no numbers

_NNEF_HAZARDS: Final = re.compile(
    r"\b(?:tract_core_|tract_onnx_)?"
    r"(?:gather\w*|scatter\w*|one_hot|range|topk|dyn_slice|array_feature_extractor|div|rem|mod)"
    r"(?=\s*(?:<[^>]*>)?\s*\()"
    r"|(?<=\s)/(?=\s)"
)
_NNEF_PROPERTIES: Final = re.compile(r"fragment\s+tract_core_properties\b[^}]*}")
_NNEF_INTEGERS: Final = re.compile(
    r"external\s*<\s*integer\s*>|datum_type\s*=\s*\"[UI]\d+\"|\bto\s*=\s*\"[ui]\d+\"", re.IGNORECASE
)


def onnx_hazards(file: OnnxFile) -> list[str]:
    """Return a phrase for each operator that takes integers of the request where tract may panic."""
    known = _Known(
        integers={each.name for each in file.inputs if each.elem_type in _INTEGERS},
        truths={each.name for each in file.inputs if each.elem_type == _BOOL},
    )
    _walk(file.graph, known)
    return list(dict.fromkeys(known.hazards))


def nnef_hazards(graph: str) -> list[str]:
    """Return the operators of an NNEF text that may panic, if it holds any integers but sizes."""
    graph = _NNEF_PROPERTIES.sub("", graph)  # tract writes integers of its own there
    if not _NNEF_INTEGERS.search(graph):
        return []
    return list(dict.fromkeys(match[0] for match in _NNEF_HAZARDS.finditer(graph)))


@dataclass(slots=True)
class _Known:
    """Names of tensors that may hold integers of a request, and of such as hold truth values."""

    integers: set[str]
    truths: set[str]
    hazards: list[str] = field(default_factory=list)


def _walk(graph: Graph, known: _Known) -> None:
    for node in graph.nodes:
        for inner in node.graphs:
            # A loop hands its own inputs in by position: those of the graph inside count if any of the
            # node's does.
            if any(name in known.integers for name in node.inputs):
                known.integers.update(each.name for each in inner.inputs)
            _walk(inner, known)
        positions, what = _HAZARDS.get(node.op_type, ((), ""))
        if any(index < len(node.inputs) and node.inputs[index] in known.integers for index in positions):
            where = f" '{node.name[:60]}'" if node.name else ""
            known.hazards.append(f"{node.op_type}{where} takes {what} from the request")
        outputs = [name for name in node.outputs if name]
        if _makes_truths(node, known):
            known.truths.update(outputs)
        elif _makes_integers(node, known):
            known.integers.update(outputs)


def _makes_truths(node: Node, known: _Known) -> bool:
    if node.op_type == "Cast":
        return node.to == _BOOL
    is_truth = bool(node.inputs) and node.inputs[0] in known.truths
    return node.op_type in _TRUTHS or (node.op_type in _ARRANGING and is_truth)


def _makes_integers(node: Node, known: _Known) -> bool:
    if node.op_type in _SIZES:
        return False
    if node.op_type == "Cast":
        return node.to in _INTEGERS and node.inputs[:1] != [] and node.inputs[0] not in known.truths
    inner = any(each.name in known.integers for graph in node.graphs for each in graph.outputs)
    return inner or any(name in known.integers for name in node.inputs)
