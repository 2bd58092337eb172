"""Observes states and requests: keeps what it is told in ``EVENTS``."""

from __future__ import annotations

from navi_core import RequestFinished, StateChanged, hookimpl

EVENTS: list[StateChanged | RequestFinished] = []


@hookimpl
def navi_servable_state_changed(event: StateChanged) -> None:
    """Keep the event."""
    EVENTS.append(event)


@hookimpl
def navi_request_finished(event: RequestFinished) -> None:
    """Keep the event."""
    EVENTS.append(event)
