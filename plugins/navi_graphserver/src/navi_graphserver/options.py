"""The options of the runtime ``samediff``."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["GraphOptions"]


class GraphOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``[runtime_options]`` of a graph, or ``[runtimes.samediff]`` of the host.

    Parameters
    ----------
    engine
        What computes the default signature: ``onnx`` is ONNX Runtime, for graphs that can be written as ONNX;
        ``numpy`` takes every graph; ``auto`` is ONNX Runtime where it is installed and gives NumPy's answers.
    kernels
        What convolves and pools where the graph is computed with NumPy: ``torch`` is PyTorch's kernels; ``auto``
        takes them where PyTorch is installed, and imports it for graphs that convolve or pool.
    """

    engine: Literal["auto", "numpy", "onnx"] = "auto"
    kernels: Literal["auto", "numpy", "torch"] = "auto"
