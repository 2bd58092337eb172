"""The ONNX form of each operation that has one.

A form writes nodes and returns the names of its outputs. It refuses what it does not cover; the graph is then computed
with NumPy as a whole.
"""

from __future__ import annotations

from typing import Final

from navi_graphserver.onnx_engine.forms import (
    elementwise,
    layers,
    making,
    normal,
    operands,
    reductions,
    shapes,
    windows,
)
from navi_graphserver.onnx_engine.forms.table import FORMS

__all__ = ["FORMS", "MODULES"]

MODULES: Final = (elementwise, layers, making, normal, operands, reductions, shapes, windows)
"""The modules that fill the table when they are imported."""
