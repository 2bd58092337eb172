"""What the parent has of its workers, and of what they have loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from navi_core.contracts.runtime import RunContext, Servable
from navi_core.errors import LifecycleError
from navi_core.metrics.pages import Page
from navi_core.signature import Signature
from navi_core.types import Array
from navi_core.workers.protocol import FromParent

__all__ = ["Member", "RemoteServable"]


@dataclass(slots=True, eq=False)
class Member:
    """One worker that has said hello.

    Parameters
    ----------
    index
        Its number.
    send
        Sends it a message.
    """

    index: int
    send: Callable[[FromParent], None]
    is_open: bool = False
    """It serves what the others do."""
    listens: bool = False
    """It has said so; until then it imports what it listens with."""
    asked: set[int] = field(default_factory=set)
    """Tickets that it was told to prepare before it may join."""
    ready: set[int] = field(default_factory=set)
    """Those that it has prepared."""
    moved_on_at: float = 0.0
    """When it came, or prepared the last of them."""
    page: Page = field(default_factory=Page)
    """What it counted, when it was asked last."""


class RemoteServable(Servable):
    """A version that the workers have: nothing runs here.

    Parameters
    ----------
    ticket
        Its number.
    """

    def __init__(self, ticket: int) -> None:
        self.ticket: Final = ticket
        self.signatures: Mapping[str, Signature] = {}  # the workers know them

    def run(
        self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str], ctx: RunContext
    ) -> Mapping[str, Array]:
        """Refuse: requests go to workers."""
        del signature, inputs, outputs, ctx
        raise LifecycleError("the parent of several workers runs no model")

    def close(self) -> None:
        """Do nothing: the fleet drops it."""
