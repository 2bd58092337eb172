"""The graphs of a host: models that are put, replaced and forgotten under their ids, and under a name beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

from navi_core import (
    Admin,
    Artifact,
    DataPlane,
    ModelConflictError,
    ModelNotFoundError,
    ServiceContext,
    ServiceMemory,
)
from navi_graphserver.naming import check_name, model_name
from navi_graphserver.runtime import GRAPH_FILE
from navi_graphserver.service.turns import Turns
from navi_graphserver.state import StateDirectory

__all__ = ["Graphs"]

_MEMORY: Final = "graphserver/name/"


class Graphs:
    """Changes graphs, one change after the other.

    Parameters
    ----------
    context
        What the host offers.
    names
        Graph id -> the name that it has from the start.
    state
        Where graphs are kept; None: nowhere.
    """

    def __init__(
        self, context: ServiceContext, names: Mapping[int, str], state: StateDirectory | None
    ) -> None:
        self._plane: Final[DataPlane] = context.plane
        self._admin: Final[Admin] = context.admin
        self._run_off_loop: Final = context.run_off_loop
        self._memory: Final[ServiceMemory] = context.memory
        self._names: Final = {**({} if state is None else state.names()), **names}
        self._state: Final = state
        self._turns: Final = Turns(context.new_signal)

    async def put(self, graph_id: int, content: bytes, *, is_new: bool, name: str = "") -> None:
        """Serve a graph.

        Parameters
        ----------
        graph_id
            Its id.
        content
            Its FlatGraph.
        is_new
            It must not be known.
        name
            The model that it is besides ``graph-<id>``; empty: what it was before.

        Raises
        ------
        ModelConflictError
            It is known and should be new, or another model has the name.
        InvalidRequestError
            That is no name.
        ModelLoadError
            It cannot be served; what served goes on.
        NaviError
            It is served, but was not kept.
        """
        if name:
            check_name(name)
        async with self._turns.turn():
            model, models, old = model_name(graph_id), self._plane.models(), self._name_of(graph_id)
            if is_new and model in models:
                msg = f"Graph with given ID already exists [{graph_id}]"
                raise ModelConflictError(msg)
            new = name or old
            if new and new != old and new in models:
                msg = f"another model has the name '{new}' already"
                raise ModelConflictError(msg)
            version = self._next_version(model)
            await self._serve(model, version, content)
            # before anything else is waited for: no client's leaving comes between a graph and its file
            await self._keep(model, version, content, new)
            if new != old:
                await self._memory.keep(f"{_MEMORY}{graph_id}", new.encode())
            if new:
                await self._serve(new, version, content)
            if old and old != new:
                await self._unload(old)

    async def forget(self, graph_id: int) -> None:
        """Forget a graph and its name; one that nobody knows is forgotten already.

        Raises
        ------
        NaviError
            It cannot be.
        """
        async with self._turns.turn():
            model, name = model_name(graph_id), self._name_of(graph_id)
            await self._unload(model)
            if name:
                await self._unload(name)
                await self._memory.keep(f"{_MEMORY}{graph_id}", b"")
            if self._state is not None:
                state = self._state
                await self._run_off_loop(lambda: state.forget(model))

    def _name_of(self, graph_id: int) -> str:
        """Return a graph's name, empty where it has none: what was said last, in any worker, or from the start."""
        said = self._memory.recall().get(f"{_MEMORY}{graph_id}")
        return self._names.get(graph_id, "") if said is None else said.decode()

    def _next_version(self, model: str) -> int:
        known = self._plane.status(model) if model in self._plane.models() else ()
        return max((status.version for status in known), default=0) + 1

    async def _serve(self, model: str, version: int, content: bytes) -> None:
        await self._admin.replace(Artifact(name=model, version=version, files={GRAPH_FILE: content}))

    async def _unload(self, model: str) -> None:
        if model in self._plane.models():
            with contextlib.suppress(ModelNotFoundError):  # somebody else was quicker
                await self._admin.unload(model)

    async def _keep(self, model: str, version: int, content: bytes, name: str) -> None:
        if self._state is not None:
            state = self._state
            await self._run_off_loop(lambda: state.keep(model, version, content, name))
