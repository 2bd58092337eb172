"""The order in which a graph's nodes run: loops are programs inside of programs.

A loop is written as in TensorFlow: values come in through ``enter``, ``merge`` takes them or what ``next_iteration``
brought back, ``switch`` parts them by ``loop_cond``, and they leave through ``exit``. Without the edges from
``next_iteration`` a graph has no cycles; what lies between a loop's ``enter`` and ``exit`` nodes is its body, and the
body as a whole is one item of the program around it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from navi_graphserver.errors import GraphError
from navi_graphserver.flat.records import Address
from navi_graphserver.plan import GraphPlan, Node

__all__ = ["Item", "Loop", "make_program"]

_MAX_DEPTH: Final = 32
Frame: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """A loop, run as one item until no value is carried to another round.

    Parameters
    ----------
    enters
        Nodes that bring values in, once.
    body
        What every round runs.
    carries
        Nodes that bring values to the next round.
    members
        Ids of all nodes in it, inner loops' too.
    """

    enters: tuple[Node, ...]
    body: tuple[Item, ...]
    carries: tuple[Node, ...]
    members: tuple[int, ...]


Item: TypeAlias = Node | Loop


def make_program(plan: GraphPlan, wanted: Iterable[int], known: Collection[int] = ()) -> tuple[Item, ...]:
    """Order what has to run for some values.

    Parameters
    ----------
    plan
        The graph.
    wanted
        Ids of nodes whose values are wanted; those of variables do not matter.
    known
        Ids of nodes whose values are there already.

    Raises
    ------
    GraphError
        There is no order: a cycle that is no loop, or loops that are not nested.
    """
    needed = _needed(plan, wanted, known)
    order = _sorted({number: _before(needed[number], needed) for number in needed})
    frames = _frames(order, needed)
    return _level((), needed, frames)


def _needed(plan: GraphPlan, wanted: Iterable[int], known: Collection[int]) -> dict[int, Node]:
    needed: dict[int, Node] = {}
    waiting = [number for number in wanted if number in plan.nodes and number not in known]
    while waiting:
        number = waiting.pop()
        if number in needed:
            continue
        node = needed[number] = plan.nodes[number]
        waiting += [
            other
            for other in (*(address.node for address in node.inputs), *node.after)
            if other in plan.nodes and other not in known
        ]
    return {number: needed[number] for number in plan.nodes if number in needed}


def is_carried(address: Address, nodes: Mapping[int, Node]) -> bool:
    """Tell whether a value comes from the round before."""
    node = nodes.get(address.node)
    return node is not None and node.control == "next_iteration"


def _before(node: Node, nodes: Mapping[int, Node]) -> list[int]:
    """Return the nodes that run before a node in the same round."""
    return [
        number
        for number in (
            *(address.node for address in node.inputs if not is_carried(address, nodes)),
            *node.after,
        )
        if number in nodes
    ]


def _sorted(before: Mapping[int, Sequence[int]]) -> list[int]:
    """Sort so that everything comes after what it needs; otherwise in the order of the mapping.

    Raises
    ------
    GraphError
        There is a cycle.
    """
    missing = {number: len(set(needs)) for number, needs in before.items()}
    after: dict[int, list[int]] = {number: [] for number in before}
    for number, needs in before.items():
        for other in set(needs):
            after[other].append(number)
    ready = [number for number, count in missing.items() if count == 0]
    order = []
    while ready:
        round_of = ready
        ready = []
        for number in round_of:
            order.append(number)
            for other in after[number]:
                missing[other] -= 1
                if missing[other] == 0:
                    ready.append(other)
    if len(order) != len(before):
        stuck = next(number for number, count in missing.items() if count > 0)
        msg = f"node {stuck} is part of a cycle that is no loop"
        raise GraphError(msg)
    return order


def _frames(order: Sequence[int], nodes: Mapping[int, Node]) -> dict[int, Frame]:
    """Return which loops each node is in, from the outermost; an ``exit`` is in the loop that it leaves.

    What enters an inner loop may come from the outer one or, as constants do, from outside of both: a loop lies as
    deep as the deepest of its ``enter`` nodes says.

    Raises
    ------
    GraphError
        Loops are not nested, or nested too deep.
    """
    places: dict[int, Frame] = {}
    for _ in range(_MAX_DEPTH):
        inside: dict[int, Frame] = {}
        deeper = False
        for number in order:
            frame = _frame(nodes[number], inside, nodes)
            if nodes[number].control == "enter":
                loop = nodes[number].arguments.integer(0, 0)
                if loop not in places or len(frame) >= len(places[loop]):
                    places[loop] = (*frame, loop)
                    deeper = True
                frame = places[loop]
            inside[number] = frame
        if not deeper:
            _check_frames(inside, nodes)
            return inside
    msg = f"loops are nested deeper than {_MAX_DEPTH}"
    raise GraphError(msg)


def _frame(node: Node, inside: Mapping[int, Frame], nodes: Mapping[int, Node]) -> Frame:
    """Return the innermost loop that a node takes a value of."""
    frames = (_value_frame(other, inside, nodes) for other in _before(node, nodes))
    return max(frames, key=len, default=())


def _value_frame(number: int, inside: Mapping[int, Frame], nodes: Mapping[int, Node]) -> Frame:
    return inside[number][:-1] if nodes[number].control == "exit" else inside[number]


def _check_frames(inside: Mapping[int, Frame], nodes: Mapping[int, Node]) -> None:
    for number, frame in inside.items():
        node = nodes[number]
        for other in _before(node, nodes):
            value = _value_frame(other, inside, nodes)
            if frame[: len(value)] != value:
                msg = f"node '{node.label}' takes values of two loops that are not nested"
                raise GraphError(msg)
        if node.control in ("exit", "next_iteration") and not frame:
            msg = f"node '{node.label}' ({node.control}) is in no loop"
            raise GraphError(msg)


def _level(frame: Frame, nodes: Mapping[int, Node], frames: Mapping[int, Frame]) -> tuple[Item, ...]:
    """Order the nodes of one loop, or of the graph itself, with inner loops as one item each."""
    depth = len(frame)
    members: dict[int | Frame, list[int]] = {}
    item_of: dict[int, int | Frame] = {}
    for number, own in frames.items():
        if own[:depth] != frame:
            continue
        key: int | Frame = number if len(own) == depth else own[: depth + 1]
        item_of[number] = key
        members.setdefault(key, []).append(number)
    keys = list(members)
    place = {key: index for index, key in enumerate(keys)}
    before = {
        place[key]: [
            place[item_of[other]]
            for number in numbers
            for other in _before(nodes[number], nodes)
            if other in item_of and item_of[other] != key
        ]
        for key, numbers in members.items()
    }
    items: list[Item] = []
    for index in _sorted(before):
        key = keys[index]
        items.append(nodes[key] if isinstance(key, int) else _loop(key, members[key], nodes, frames))
    return tuple(items)


def _loop(
    frame: Frame, members: Sequence[int], nodes: Mapping[int, Node], frames: Mapping[int, Frame]
) -> Loop:
    body = _level(frame, nodes, frames)
    own = [nodes[number] for number in members if frames[number] == frame]
    return Loop(
        enters=tuple(node for node in own if node.control == "enter"),
        body=tuple(item for item in body if isinstance(item, Loop) or item.control != "enter"),
        carries=tuple(node for node in own if node.control == "next_iteration"),
        members=tuple(members),
    )
