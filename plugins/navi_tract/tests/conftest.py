"""What the tests of this plugin share: loading a model's bytes, closed again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from navi_tract.options import TractOptions
from navi_tract.runtime import TractRuntime
from navi_tract.testing import store

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions, Servable
from navi_core.testing.run_context import SimpleRunContext


class Loaded:
    """A servable with the two things that tests do with it."""

    def __init__(self, servable: Servable) -> None:
        self.servable = servable

    @property
    def signature(self):
        return self.servable.signatures[DEFAULT_SIGNATURE]

    def run(self, outputs: Sequence[str] = (), **inputs):
        names = tuple(outputs) or tuple(self.signature.outputs)
        return self.servable.run(DEFAULT_SIGNATURE, inputs, names, SimpleRunContext())


@pytest.fixture
def load(tmp_path) -> Callable[..., Loaded]:
    """Return a function that loads bytes or an artifact; keywords are options, ``load`` is LoadOptions'.

    Plans are rehearsed only where a test asks for it: that is a process for each.
    """
    servables: list[Servable] = []

    def load_model(
        model: bytes | Artifact, *, load: dict[str, Any] | None = None, rehearse: bool = False, **options
    ) -> Loaded:
        artifact = model if isinstance(model, Artifact) else store(model, tmp_path / str(len(servables)))
        chosen = TractOptions(rehearse=rehearse, **options)
        servable = TractRuntime().load(artifact, LoadOptions(options=chosen, **load or {}))
        servables.append(servable)
        return Loaded(servable)

    yield load_model
    for servable in servables:
        servable.close()
