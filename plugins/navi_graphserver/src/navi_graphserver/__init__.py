"""GraphServer for navi: DL4J's SameDiff graphs, its FlatBuffers over gRPC, and a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from navi_graphserver.client import Client, GraphServerError
    from navi_graphserver.export import ExportError, export_onnx, export_torch
    from navi_graphserver.flat.read_graph import read_graph
    from navi_graphserver.flat.records import Address, FlatGraph, FlatNode, FlatVariable
    from navi_graphserver.flat.write_graph import write_graph

__all__ = [
    "Address",
    "Client",
    "ExportError",
    "FlatGraph",
    "FlatNode",
    "FlatVariable",
    "GraphServerError",
    "export_onnx",
    "export_torch",
    "read_graph",
    "write_graph",
]

_MODULES = {
    "Address": "navi_graphserver.flat.records",
    "Client": "navi_graphserver.client",
    "ExportError": "navi_graphserver.export",
    "FlatGraph": "navi_graphserver.flat.records",
    "FlatNode": "navi_graphserver.flat.records",
    "FlatVariable": "navi_graphserver.flat.records",
    "GraphServerError": "navi_graphserver.client",
    "export_onnx": "navi_graphserver.export",
    "export_torch": "navi_graphserver.export",
    "read_graph": "navi_graphserver.flat.read_graph",
    "write_graph": "navi_graphserver.flat.write_graph",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the host imports this package to look at its hooks."""
    if name not in _MODULES:
        msg = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(msg)
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_MODULES[name]), name)
