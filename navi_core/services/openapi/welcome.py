"""The page at ``/``: an OpenAPI document in brief, for a person who has found the port. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["welcome"]

_GET: Final = "get"


def welcome(document: Mapping[str, Any], rpc_services: Sequence[str]) -> dict[str, Any]:
    """Return the page.

    Parameters
    ----------
    document
        The host's description.
    rpc_services
        What is offered over gRPC.
    """
    operations = list(_operations(document))
    about = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    routes: dict[str, list[str]] = {name: [] for name in about}
    for verb, path, operation in operations:
        for name in operation.get("tags", ()):
            routes.setdefault(name, []).append(f"{verb.upper()} {path}")
    return {
        "name": document["info"]["title"],
        "version": document["info"]["version"],
        "links": {
            path: operation.get("summary", "")
            for verb, path, operation in operations
            if verb == _GET and "{" not in path
        },
        "services": {
            name: {"description": about.get(name, ""), "http": paths} for name, paths in routes.items()
        },
        "grpc": sorted(rpc_services),
    }


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield verb, path and description of every operation."""
    for path, item in document["paths"].items():
        for key, operation in item.items():
            if isinstance(operation, Mapping) and "responses" in operation:
                yield key, path, operation
