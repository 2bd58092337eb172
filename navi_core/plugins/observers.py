"""Observers: tells the plugins that asked for it what happens. None of them can fail anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from navi_core.contracts.events import RequestFinished, StateChanged
from navi_core.plugins.discovery import HookCall, PluginRecord, Plugins, describe

__all__ = ["OBSERVER_HOOKS", "Observers"]

STATE_CHANGED: Final = "navi_servable_state_changed"
REQUEST_FINISHED: Final = "navi_request_finished"
OBSERVER_HOOKS: Final = (STATE_CHANGED, REQUEST_FINISHED)

_log = structlog.get_logger(__name__)


class Observers:
    """Hands events to the observing hooks of one host's plugins.

    Parameters
    ----------
    plugins
        The plugins, after the registry has withdrawn the bad ones.
    own
        Told first of every request that was answered: the host's own; None: nobody.

    Attributes
    ----------
    any_state_changed, any_request_finished
        Whether anybody observes: events that nobody wants need not be built.
    """

    __slots__ = ("_own", "_request_finished", "_state_changed", "any_request_finished", "any_state_changed")

    def __init__(self, plugins: Plugins, own: Callable[[RequestFinished], None] | None = None) -> None:
        self._own = own
        self._state_changed = plugins.implementing(STATE_CHANGED)
        self._request_finished = plugins.implementing(REQUEST_FINISHED)
        self.any_state_changed: bool = bool(self._state_changed)
        self.any_request_finished: bool = own is not None or bool(self._request_finished)

    def state_changed(self, event: StateChanged) -> None:
        """Tell every observer that a version moved to another state."""
        _tell(self._state_changed, STATE_CHANGED, event)

    def request_finished(self, event: RequestFinished) -> None:
        """Tell every observer that a request was answered."""
        if self._own is not None:
            self._own(event)
        _tell(self._request_finished, REQUEST_FINISHED, event)


def _tell(
    observers: Sequence[tuple[PluginRecord, HookCall]], hook: str, event: StateChanged | RequestFinished
) -> None:
    for record, call in observers:
        try:
            call(event=event)
        except Exception as error:  # an observer's failure is its own
            _log.warning(
                "observer_failed",
                hook=hook,
                plugin=record.name,
                distribution=record.source,
                error=describe(error),
            )
