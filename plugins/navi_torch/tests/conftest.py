"""What the tests of this plugin share: loading a model's bytes, closed again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from navi_torch.options import TorchOptions
from navi_torch.runtime import TorchRuntime
from navi_torch.testing import store

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions, Servable
from navi_core.testing.run_context import SimpleRunContext


class Loaded:
    """A servable with the two things that tests do with it."""

    def __init__(self, servable: Servable) -> None:
        self.servable = servable

    @property
    def signature(self):
        return self.servable.signatures[DEFAULT_SIGNATURE]

    def run(self, outputs: Sequence[str] = (), *, method: str = DEFAULT_SIGNATURE, **inputs):
        names = tuple(outputs) or tuple(self.servable.signatures[method].outputs)
        return self.servable.run(method, inputs, names, SimpleRunContext())


@pytest.fixture
def load(tmp_path) -> Callable[..., Loaded]:
    """Return a function that loads bytes or an artifact; keywords are options, ``load`` is LoadOptions'."""
    servables: list[Servable] = []

    def load_model(model: bytes | Artifact, *, load: dict[str, Any] | None = None, **options) -> Loaded:
        artifact = model if isinstance(model, Artifact) else store(model, tmp_path / str(len(servables)))
        said = msgspec.convert(options, TorchOptions)
        servable = TorchRuntime().load(artifact, LoadOptions(options=said, **load or {}))
        servables.append(servable)
        return Loaded(servable)

    yield load_model
    for servable in servables:
        servable.close()
