"""Registers a runtime under the name that toy-runtime has."""

from __future__ import annotations

from navi_core import Artifact, LoadOptions, Runtime, Servable, hookimpl


class AnotherToy(Runtime):
    """Takes nothing."""

    name = "toy"

    def recognise(self, artifact: Artifact) -> str | None:
        """Recognise nothing."""
        del artifact
        return None

    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Load nothing."""
        raise AssertionError(f"recognised nothing, was given {artifact} and {options}")


@hookimpl
def navi_register_runtimes() -> list[type[Runtime]]:
    """Register the runtime."""
    return [AnotherToy]
