"""The life of one version of a model, as a table: which event moves which state where.

Pure. The manager feeds events in and acts on the state that comes out; status calls, metrics and
observers show the same states. A life only moves forward: a failed load ends it (with the error kept
beside END), and trying again is a *new* life of the same version, which begins at START. So does a
version that was unloaded and is wanted again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from navi_core.contracts.versions import ServableState
from navi_core.errors import LifecycleError

__all__ = ["LEGAL_EVENTS", "TRANSITIONS", "Event", "advance", "draw_mermaid", "draw_text"]


class Event(StrEnum):
    """What can happen to a version."""

    LOAD_STARTED = "LOAD_STARTED"
    """A loader thread took it."""
    LOAD_SUCCEEDED = "LOAD_SUCCEEDED"
    """Loaded, its signature known, warmed up."""
    LOAD_FAILED = "LOAD_FAILED"
    """The load, the signature or the warm-up failed."""
    DROPPED = "DROPPED"
    """No longer wanted before its load began."""
    UNLOAD_STARTED = "UNLOAD_STARTED"
    """Taken out of the routing table; in-flight work goes on."""
    UNLOAD_FINISHED = "UNLOAD_FINISHED"
    """The last handle came back and the servable was closed."""


TRANSITIONS: Final[Mapping[tuple[ServableState, Event], ServableState]] = MappingProxyType(
    {
        (ServableState.START, Event.LOAD_STARTED): ServableState.LOADING,
        (ServableState.START, Event.DROPPED): ServableState.END,
        (ServableState.LOADING, Event.LOAD_SUCCEEDED): ServableState.AVAILABLE,
        (ServableState.LOADING, Event.LOAD_FAILED): ServableState.END,
        (ServableState.AVAILABLE, Event.UNLOAD_STARTED): ServableState.UNLOADING,
        (ServableState.UNLOADING, Event.UNLOAD_FINISHED): ServableState.END,
    }
)
"""(state, event) -> next state. A pair that is not here cannot happen."""

LEGAL_EVENTS: Final[Mapping[ServableState, frozenset[Event]]] = MappingProxyType(
    {state: frozenset(event for source, event in TRANSITIONS if source is state) for state in ServableState}
)
"""State -> the events that it takes; none for END."""


def advance(state: ServableState, event: Event) -> ServableState:
    """Return the state after ``event``.

    Raises
    ------
    LifecycleError
        The state does not take that event.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        expected = ", ".join(sorted(LEGAL_EVENTS[state])) or "no event"
        raise LifecycleError(f"lifecycle in state {state}: expected {expected}, got {event}") from None


def draw_mermaid() -> str:
    """Return the table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {ServableState.START}"]
    lines += [f"    {before} --> {after}: {event}" for (before, event), after in TRANSITIONS.items()]
    lines += [f"    {state} --> [*]" for state, events in LEGAL_EVENTS.items() if not events]
    return "\n".join(lines) + "\n"


def draw_text() -> str:
    """Return the table as aligned text, one transition a line, for terminals and docstrings."""
    rows = [(str(before), f"-- {event} -->", str(after)) for (before, event), after in TRANSITIONS.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "".join(f"{row[0]:<{widths[0]}} {row[1]:<{widths[1]}} {row[2]}\n" for row in rows)
