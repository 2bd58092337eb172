"""What a model's ``[runtime_options]`` table, and the host's ``[runtimes.tract]``, may say."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["TractOptions"]

Size = Annotated[int, msgspec.Meta(ge=0)]


class TractOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model is planned. Immutable; an unknown key is an error.

    Attributes
    ----------
    max_plans
        Plans that a model of several dynamic dimensions keeps, one for each combination of sizes; the one
        that was used longest ago makes way. Each holds the weights.
    plan_rows
        Make a plan for each number of rows too, where one plan could serve them all.
    shapes
        Shapes to plan when the model is loaded, each a table of input name -> sizes.
    rehearse
        Try every plan in a process of its own first.
    trust_requests
        Serve models with which a wrong request can end the process.
    allow_hard_links
        Accept external data files that have several names.
    """

    max_plans: Annotated[int, msgspec.Meta(ge=1)] = 8
    plan_rows: bool = False
    shapes: tuple[dict[str, tuple[Size, ...]], ...] = ()
    rehearse: bool = True
    trust_requests: bool = False
    allow_hard_links: bool = False
