"""Which operations of a graph other kernels than NumPy's compute."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Literal

from navi_graphserver.errors import GraphError
from navi_graphserver.operations.table import Evaluate
from navi_graphserver.plan import GraphPlan

__all__ = ["kernels_for"]


def kernels_for(plan: GraphPlan, wanted: Literal["auto", "numpy", "torch"]) -> Mapping[str, Evaluate]:
    """Return PyTorch's kernels by operation; none where a graph has no use for them, or they are not wanted.

    Parameters
    ----------
    plan
        The graph: PyTorch is imported for convolution and pooling only.
    wanted
        ``auto``: where PyTorch is installed.

    Raises
    ------
    GraphError
        ``torch`` is wanted, and not installed.
    """
    if wanted == "numpy":
        return {}
    is_installed = importlib.util.find_spec("torch") is not None
    if wanted == "torch" and not is_installed:
        raise GraphError("it cannot be convolved and pooled by PyTorch: torch is not installed")
    from navi_graphserver.operations.torch_kernels import (  # noqa: PLC0415 - with the operations
        TORCH_OPERATIONS,
        torch_kernels,
    )

    names = {node.operation.name for node in plan.nodes.values() if node.operation is not None}
    return torch_kernels() if is_installed and names & TORCH_OPERATIONS else {}
