"""Small torch models for tests, as bytes. Imports torch.

Each builder returns the file's contents; :func:`store` puts it where a host looks for it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from navi_core import Artifact, DType
from navi_torch.convert import TORCH_DTYPES

__all__ = [
    "Double",
    "Identity",
    "Mlp",
    "Pair",
    "exported",
    "exported_identity",
    "inputs_toml",
    "scripted",
    "scripted_identity",
    "store",
    "traced",
]


class Identity(nn.Module):  # type: ignore[misc]  # torch's types are not read
    """``x``, the same tensor."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input."""
        return x


class Pair(nn.Module):  # type: ignore[misc]  # torch's types are not read
    """``sum = a + b`` and ``difference = a - b``, in a dict."""

    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Return both."""
        return {"sum": a + b, "difference": a - b}


class Double(nn.Module):  # type: ignore[misc]  # torch's types are not read
    """``x + x``."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the double."""
        return x + x


class Mlp(nn.Module):  # type: ignore[misc]  # torch's types are not read
    """A perceptron of two layers with ReLU between them; weights are drawn from a fixed seed."""

    def __init__(self, before: int = 16, hidden: int = 32, after: int = 4) -> None:
        super().__init__()
        state = torch.get_rng_state()
        torch.manual_seed(0)
        self.first = nn.Linear(before, hidden)
        self.second = nn.Linear(hidden, after)
        torch.set_rng_state(state)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        return self.second(torch.relu(self.first(x)))


def scripted(module: nn.Module, extra: Mapping[str, str] | None = None) -> bytes:
    """Return a module as ``torch.jit.script`` makes it; ``extra`` are files in its archive."""
    with _quiet():
        return _saved(torch.jit.script(module.eval()), extra)


def traced(module: nn.Module, *example: Any, extra: Mapping[str, str] | None = None) -> bytes:
    """Return a module as ``torch.jit.trace`` makes it of example inputs."""
    with _quiet():
        return _saved(torch.jit.trace(module.eval(), example, strict=False), extra)


def exported(
    module: nn.Module,
    *example: Any,
    dynamic_shapes: Any = None,
    extra: Mapping[str, str] | None = None,
    **keywords: Any,
) -> bytes:
    """Return a module as ``torch.export.save`` writes it."""
    with _quiet():
        program = torch.export.export(module.eval(), example, keywords or None, dynamic_shapes=dynamic_shapes)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=dict(extra or {}))
    return buffer.getvalue()


def inputs_toml(**shapes: Sequence[Any]) -> dict[str, str]:
    """Return the extra file that describes float32 inputs: name=shape, or name=(dtype, shape)."""
    lines = []
    for name, said in shapes.items():
        dtype, shape = said if isinstance(said, tuple) else ("float32", said)
        lines.append(f'inputs.{name} = {{ dtype = "{dtype}", shape = {list(shape)} }}')
    return {"navi.toml": "\n".join(lines)}


@cache
def scripted_identity(dtype: DType, rank: int) -> bytes:
    """Return ``y = x`` as TorchScript that describes itself; every dimension is dynamic."""
    return scripted(Identity(), inputs_toml(x=(dtype, [-1] * rank)))


@cache
def exported_identity(dtype: DType, rank: int) -> bytes:
    """Return ``y = x`` as an exported program; every dimension is dynamic."""
    example = torch.zeros((5, 6, 7, 8)[:rank], dtype=torch.float32).to(TORCH_DTYPES[dtype])
    return exported(
        Identity(), example, dynamic_shapes=(dict.fromkeys(range(rank), torch.export.Dim.DYNAMIC),)
    )


def store(
    model: bytes, folder: Path, *, file: str = "model.pt", name: str = "model", version: int = 1
) -> Artifact:
    """Write a model's file into a folder, made where it is missing, and return it as an artifact."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(model)
    return Artifact(name=name, version=version, path=folder)


def _saved(module: Any, extra: Mapping[str, str] | None) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(module, buffer, _extra_files=dict(extra or {}))
    return buffer.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """TorchScript is deprecated and says so at every step; torch.export uses deprecated parts of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
