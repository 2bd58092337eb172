"""What ``META.json`` says, read again at every poll, and whom a change concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from navi_core.background import run_in_daemon_thread
from navi_core.config.meta_json import ModelMeta
from navi_core.contracts.source import VersionChoice
from navi_core.models.version_policy import parse_version

__all__ = ["MetaJsonModels"]

log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 10.0
_NOTHING: Final = ModelMeta()


class MetaJsonModels:
    """Keeps what was read last; to be refreshed before each look.

    A pinned version overrides which versions the configuration wants. A pin that is no version (neither an
    integer nor an RFC 3339 time) is logged and the model stays as it is, as in Navi, where its load fails.

    Parameters
    ----------
    read
        Returns model name -> what is said about it; blocking, called in a thread
        (:meth:`navi_core.config.meta_json.MetaJson.read`).
    on_change
        Told, on the loop, the names of the models about which something else is said than before.
    timeout_s
        A read that takes longer is not waited for; its result counts when it comes.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, ModelMeta]],
        on_change: Callable[[frozenset[str]], None],
        *,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._read = read
        self._on_change = on_change
        self._timeout_s = timeout_s
        self._metas: Mapping[str, ModelMeta] = {}
        self._pins: dict[str, int] = {}
        self._reading: asyncio.Task[Mapping[str, ModelMeta]] | None = None
        self._turn = asyncio.Lock()

    async def refresh(self) -> None:
        """Read again, and tell of changes. Raises what ``read`` or ``on_change`` raise."""
        async with self._turn:
            await self._refresh()

    async def _refresh(self) -> None:
        if self._reading is None:
            self._reading = asyncio.create_task(run_in_daemon_thread(self._read, name="navi-meta-json"))
        done, _ = await asyncio.wait({self._reading}, timeout=self._timeout_s)
        if not done:
            log.warning("meta_json_slow", timeout_s=self._timeout_s)
            return
        reading, self._reading = self._reading, None
        before, self._metas = self._metas, reading.result()
        changed = frozenset(
            name for name in {*before, *self._metas} if before.get(name) != self._metas.get(name)
        )
        for name in sorted(changed):
            self._set_pin(name, self.meta(name).version)
        if changed:
            self._on_change(changed)

    def meta(self, model: str) -> ModelMeta:
        """Return what is said about a model; nothing where it is not named."""
        return self._metas.get(model, _NOTHING)

    def choice(self, model: str, configured: VersionChoice) -> VersionChoice:
        """Return which versions are wanted: the pinned one, else what is configured."""
        pin = self._pins.get(model)
        return configured if pin is None else VersionChoice("specific", versions=(pin,))

    def _set_pin(self, model: str, text: str | None) -> None:
        if text is None:
            self._pins.pop(model, None)
            return
        version = parse_version(text)
        if version is None:
            log.warning("meta_json_bad_version", model=model, version=text[:100])
        else:
            self._pins[model] = version
