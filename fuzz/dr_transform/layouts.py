"""What fuzzed requests are turned into: small layouts whose feature ids mutations hit, in every form of request."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

from navi_dr_transform import load_converter

CONTINUOUS, BINARY, DISCRETE = range(1, 9), range(11, 15), range(21, 25)
EMBEDDINGS = (31, 32, -1)
SPARSE, STRINGS = range(41, 44), range(51, 53)
WIDTH = 4

_DENSE = [
    {"name": "continuous", "source": "continuous", "features": list(CONTINUOUS)},
    {"name": "binary", "source": "binary", "features": list(BINARY)},
    {"name": "discrete", "source": "discrete", "features": list(DISCRETE), "default": -1},
    *(
        {"name": f"embedding_{index}", "source": "tensor", "feature": feature, "width": WIDTH}
        for index, feature in enumerate(EMBEDDINGS)
    ),
]
_OTHERS = [
    {"name": "doubles", "source": "continuous", "dtype": "float64", "features": list(CONTINUOUS)},
    {"name": "flags", "source": "binary", "dtype": "uint8", "features": list(BINARY)},
    {"name": "ints", "source": "discrete", "dtype": "int32", "features": list(DISCRETE)},
    {"name": "whole", "source": "tensor", "dtype": "int64", "feature": 31, "width": WIDTH},
    {"name": "sparse_binary", "source": "sparse_binary", "feature": 41, "categories": ["a", "bb", "7"]},
    {
        "name": "sparse_continuous",
        "source": "sparse_continuous",
        "feature": 42,
        "categories": ["a", "bb", "7"],
    },
    {"name": "string", "source": "string", "features": list(STRINGS)},
    {"name": "blob", "source": "blob", "features": list(STRINGS)},
]


REPORTED = (list(CONTINUOUS)[:3], list(DISCRETE)[:2])
"""Continuous and discrete features whose values are counted."""


@dataclass(frozen=True)
class Target:
    """One way to read a request."""

    name: str
    decoder: Any
    """None: the request is only passed over, in pieces."""


def targets() -> list[Target]:
    """Return the ways, in an order that numbers them."""
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for name, tensors, more in (
            ("dense", _DENSE, {}),
            ("strict", _DENSE, {"embedding_length": "strict"}),
            ("all", _DENSE + _OTHERS, {}),
            ("prediction", _DENSE, {"request": "prediction"}),
            ("record", _DENSE + _OTHERS, {"request": "record"}),
        ):
            converter = load_converter(folder, {"base": "none", "tensors": tensors}, **more)
            made.append(Target(name, converter.decoder))
    return [*made, Target("scan", None)]
