"""What the data plane needs of whoever keeps the versions: a manager, or a worker's copy of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from navi_core.batching.batcher import Batcher
from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import VersionStatus
from navi_core.messages import ModelRef
from navi_core.models.records import VersionRecord
from navi_core.models.served import LoadedVersion

__all__ = ["Loads", "VersionKeeper"]


class VersionKeeper(Protocol):
    """Keeps versions and hands out the right to use them."""

    def acquire(self, ref: ModelRef) -> VersionRecord:
        """Resolve a reference and take a handle; raises ModelError."""
        ...

    def release(self, record: VersionRecord) -> None:
        """Give a handle back."""
        ...

    def names(self) -> Sequence[str]:
        """Return the models' names, in order."""
        ...

    def config_of(self, name: str) -> ModelConfig:
        """Return a model's configuration; raises ModelNotFoundError."""
        ...

    def is_available(self, name: str) -> bool:
        """Tell whether a version of the model can answer; raises ModelNotFoundError."""
        ...

    def was_tried(self, name: str) -> bool:
        """Tell whether all versions wanted at first were loaded or could not be; raises ModelNotFoundError."""
        ...

    def status(self, name: str) -> Sequence[VersionStatus]:
        """Return every known version, oldest first; raises ModelNotFoundError."""
        ...

    def batchers(self) -> Iterator[tuple[str, int, Batcher]]:
        """Yield model, version and batcher of everything that is loaded."""
        ...

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called after any change; returns the undo."""
        ...

    async def wait_available(self, name: str) -> None:
        """Return once all wanted versions were tried and one can answer; ModelLoadError, ModelNotFoundError."""
        ...

    async def close(self, timeout_s: float) -> None:
        """Unload everything that is loaded, within the time."""
        ...


class Loads(Protocol):
    """Loads versions for a manager, here or elsewhere."""

    async def load(self, model: ModelConfig, artifact: Artifact) -> LoadedVersion:
        """Load a version; when it returns, the version may answer. Raises NaviError."""
        ...

    async def close(self, loaded: LoadedVersion) -> None:
        """Close a version that answers no more; what goes wrong is logged."""
        ...
