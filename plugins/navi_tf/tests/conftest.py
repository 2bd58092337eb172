"""What the tests of this plugin share: loading an artifact, closed again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from navi_tf.options import TensorFlowOptions
from navi_tf.runtime import TensorFlowRuntime

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions, Servable
from navi_core.testing.run_context import SimpleRunContext


class Loaded:
    """A servable with the two things that tests do with it."""

    def __init__(self, servable: Servable) -> None:
        self.servable = servable

    @property
    def signature(self):
        return self.servable.signatures[DEFAULT_SIGNATURE]

    @property
    def notes(self):
        return " | ".join(self.servable.notes)

    def run(self, outputs: Sequence[str] = (), *, key=DEFAULT_SIGNATURE, **inputs):
        return self.feed(inputs, outputs, key=key)

    def feed(self, inputs, outputs: Sequence[str] = (), *, key=DEFAULT_SIGNATURE):
        names = tuple(outputs) or tuple(self.servable.signatures[key].outputs)
        return self.servable.run(key, inputs, names, SimpleRunContext())


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    """Make the process's thread pool as a host would, before a test writes its model with TensorFlow."""
    from navi_tf.threads import PROCESS

    PROCESS.settle(None)


@pytest.fixture
def load() -> Callable[..., Loaded]:
    """Return a function that loads an artifact; keywords are options, ``load`` is LoadOptions'."""
    servables: list[Servable] = []

    def load_model(artifact: Artifact, *, load: dict[str, Any] | None = None, **options) -> Loaded:
        servable = TensorFlowRuntime().load(
            artifact, LoadOptions(options=TensorFlowOptions(**options), **load or {})
        )
        servables.append(servable)
        return Loaded(servable)

    yield load_model
    for servable in servables:
        servable.close()
