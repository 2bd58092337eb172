"""Pictures: what the parent knows of all models, and what services keep, told to every worker when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from navi_core.models.manager import ServableManager
from navi_core.workers.members import Member
from navi_core.workers.protocol import ModelPicture, Picture

__all__ = ["Painter"]


class Painter:
    """Tells all members what there is. On one event loop.

    Parameters
    ----------
    members
        By their number, as they come and go.
    """

    def __init__(self, members: Mapping[int, Member]) -> None:
        self._members = members
        self._manager: ServableManager | None = None
        self._painted: dict[str, ModelPicture] = {}
        self._is_due = False
        self._memory: dict[str, bytes] = {}
        self.is_complete = False
        """Whether every worker has come up once."""

    def watch(self, manager: ServableManager) -> None:
        """Take whose models are shown."""
        self._manager = manager
        manager.on_change(self._paint_soon)

    def whole(self) -> Picture:
        """Return everything, for a worker that knows nothing."""
        self.paint()
        return Picture(tuple(self._painted), tuple(self._painted.values()), self.is_complete, self._memory)

    def keep(self, key: str, value: bytes | None) -> None:
        """Keep a service's value; None: forget it."""
        if value is None:
            self._memory.pop(key, None)
        else:
            self._memory[key] = value
        self.paint(whole=True)

    def paint(self, *, whole: bool = False) -> None:
        """Tell all workers what has changed since they were told last, or everything."""
        self._is_due = False
        manager = self._manager
        if manager is None:
            return
        pictures = {
            name: ModelPicture(
                name, manager.config_of(name), manager.was_looked_at(name), tuple(manager.status(name))
            )
            for name in manager.names()
        }
        changed = tuple(
            picture for name, picture in pictures.items() if whole or self._painted.get(name) != picture
        )
        if not changed and pictures.keys() == self._painted.keys() and not whole:
            return
        self._painted = pictures
        message = Picture(tuple(pictures), changed, self.is_complete, self._memory)
        for member in self._members.values():
            member.send(message)

    def _paint_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.paint)
