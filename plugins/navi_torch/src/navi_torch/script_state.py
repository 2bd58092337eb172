"""Whether a TorchScript method changes its module, or writes to its inputs.

Its graph says: attributes that are set, and tensors or lists of the module that something writes to, in every
method that is called on the way. torch's own freezing folds first what evaluation mode makes constant, so that a
batch normalisation, which could write to its running mean, is not taken for one that does. A trial run that
leaves other buffers behind than it found says so too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["changed_buffers", "snapshot", "written_by"]


def written_by(module: torch.jit.ScriptModule, name: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return what a method writes to: names of the module's attributes, and of its arguments."""
    graph = _graph(module, name)
    if graph is None:
        return (), frozenset()
    set_nodes = graph.findAllNodes("prim::SetAttr", recurse=True)
    aliases = graph.alias_db()
    attributes = [node.s("name") for node in set_nodes]
    for node in graph.findAllNodes("prim::GetAttr", recurse=True):
        is_object = node.output().type().kind() == "ClassType"
        if not is_object and aliases.has_writers(node.output()):
            attributes.append(node.s("name"))
    schema = module._c._get_method(name).schema.arguments  # noqa: SLF001
    inputs = list(graph.inputs())
    written = {
        arg.name
        for arg, value in zip(schema[1:], inputs[1:], strict=True)
        if value.type().kind() in ("TensorType", "OptionalType") and aliases.has_writers(value)
    }
    return tuple(dict.fromkeys(attributes)), frozenset(written)


def _graph(module: torch.jit.ScriptModule, name: str) -> Any:
    """Return the whole graph of a method: frozen where torch can, else with all calls in line."""
    try:
        frozen = torch._C._freeze_module(module._c, [name])  # noqa: SLF001 - torch.jit.freeze warns
        graph = frozen._get_method(name).graph.copy()  # noqa: SLF001
    except Exception:  # some modules cannot be frozen
        graph = module._c._get_method(name).graph.copy()  # noqa: SLF001
    try:
        torch._C._jit_pass_inline(graph)  # noqa: SLF001
    except Exception:
        return None
    return graph


def snapshot(module: torch.jit.ScriptModule) -> Mapping[str, torch.Tensor]:
    """Return copies of a module's buffers."""
    return {name: buffer.detach().clone() for name, buffer in module.named_buffers()}


def changed_buffers(module: torch.jit.ScriptModule, before: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Return the names of buffers that are not what they were."""
    return tuple(name for name, buffer in module.named_buffers() if not _is_same(before.get(name), buffer))


def _is_same(old: torch.Tensor | None, new: torch.Tensor) -> bool:
    if old is None or old.shape != new.shape or old.dtype != new.dtype:
        return False
    if torch.equal(old, new):
        return True
    is_nan = old.isnan()
    return bool(torch.equal(is_nan, new.isnan()) and torch.equal(old[~is_nan], new[~is_nan]))
