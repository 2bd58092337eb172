"""Computing a graph with NumPy, control flow and all.

A node that takes a dead value - the side of a ``switch`` that was not chosen - is dead itself; ``merge`` takes whichever
of its inputs is alive. Dead values are not returned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.errors import OperationError
from navi_graphserver.flat.enums import Generation
from navi_graphserver.flat.records import Address
from navi_graphserver.operations.lists import TensorList
from navi_graphserver.operations.table import MAX_BYTES, Evaluate
from navi_graphserver.plan import GraphPlan, Node
from navi_graphserver.program import Item, Loop, is_carried, make_program

__all__ = ["CancelledRunError", "Evaluator"]

MAX_STEPS: Final = 10_000_000
"""Nodes that one run computes; a loop that never ends does, sooner or later, where there is no deadline."""

_MAX_FOLDED_BYTES: Final = 64 * 1024 * 1024
_MAX_PROGRAMS: Final = 64
_NO_KERNELS: Final[Mapping[str, Evaluate]] = {}
_DEAD: Final = object()


class CancelledRunError(Exception):
    """Nobody waits for the values any more."""


def _never() -> bool:
    return False


class Evaluator:
    """Computes values of one graph. Any number of threads may run it at once.

    Parameters
    ----------
    plan
        The graph. What depends on constants alone is computed here, once.
    kernels
        What computes some of the operations instead of NumPy, by name.

    Raises
    ------
    GraphError
        There is no order in which its nodes could run.
    """

    def __init__(self, plan: GraphPlan, kernels: Mapping[str, Evaluate] = _NO_KERNELS) -> None:
        self._plan = plan
        self._kernels = kernels
        self._constants = {
            address: feed.array for address, feed in plan.feeds.items() if feed.array is not None
        }
        self._has_control_flow = plan.has_control_flow
        self._fixed = frozenset(address for address, feed in plan.feeds.items() if feed.is_constant)
        self._programs: dict[tuple[tuple[int, ...], bool], tuple[Item, ...]] = {}
        everything = make_program(plan, plan.nodes)
        self._folded = self._fold(everything)

    def with_kernels(self, kernels: Mapping[str, Evaluate]) -> Evaluator:
        """Return the same evaluator, with other kernels; what was computed from constants is shared."""
        other = copy.copy(self)
        other._kernels = kernels  # noqa: SLF001 - its own class
        return other

    @property
    def constants(self) -> Mapping[Address, Array]:
        """Every value that depends on nothing that is meant to be fed."""
        fixed = {
            address: array
            for address, array in self._constants.items()
            if self._plan.feeds[address].is_constant
        }
        folded = {
            Address(number, index): value
            for number, values in self._folded.items()
            for index, value in enumerate(values)
        }
        return fixed | folded

    def _fold(self, program: Sequence[Item]) -> dict[int, Sequence[Any]]:
        """Compute what depends on constants alone, as far as it is small: nobody has to feed anything for it."""
        fixed = self._fixed
        folded: dict[int, Sequence[Any]] = {}
        run = _Run(self._plan, self._constants, folded, _never, self._kernels)
        budget = _MAX_FOLDED_BYTES
        for item in program:
            if isinstance(item, Loop) or item.operation is None or not item.operation.is_pure or item.after:
                continue
            if not item.inputs or not all(each in fixed or each.node in folded for each in item.inputs):
                continue
            try:
                with np.errstate(all="ignore"):
                    values = run.compute(item)
            except OperationError:
                continue  # it fails when it is asked for, not before
            size = sum(value.nbytes for value in values if isinstance(value, np.ndarray))
            if size > budget or any(isinstance(value, TensorList) for value in values):
                continue
            budget -= size
            for value in values:  # every run shares them
                value.flags.writeable = False
            folded[item.id] = values
        return folded

    def run(
        self,
        feeds: Mapping[Address, Array],
        wanted: Sequence[int],
        is_cancelled: Callable[[], bool] = _never,
    ) -> dict[Address, Array]:
        """Compute values.

        Parameters
        ----------
        feeds
            Values for variables, by address; the others keep their own.
        wanted
            Ids of variables and nodes.
        is_cancelled
            Asked now and then whether to give up.

        Returns
        -------
        values
            In the order wanted, every output of every id that is alive and an array.

        Raises
        ------
        OperationError
            An operation could not be computed, or a value is missing.
        CancelledRunError
            ``is_cancelled`` said so.
        """
        is_folded = self._fixed.isdisjoint(feeds)
        known = dict(self._folded) if is_folded else {}
        program = self._program(tuple(wanted), known, is_folded=is_folded)
        run = _Run(self._plan, {**self._constants, **feeds}, known, is_cancelled, self._kernels)
        with np.errstate(all="ignore"):
            if self._has_control_flow:
                run.items(program)
            else:
                run.straight(program)
        return run.collect(wanted)

    def _program(
        self, wanted: tuple[int, ...], known: Collection[int], *, is_folded: bool
    ) -> tuple[Item, ...]:
        key = (wanted, is_folded)
        program = self._programs.get(key)
        if program is None:
            program = make_program(self._plan, wanted, known)
            if len(self._programs) >= _MAX_PROGRAMS:
                self._programs.clear()
            self._programs[key] = program
        return program


class _Run:
    """One computation: the values so far."""

    __slots__ = ("_feeds", "_is_cancelled", "_is_gen1", "_kernels", "_nodes", "_plan", "_steps", "_values")

    def __init__(
        self,
        plan: GraphPlan,
        feeds: Mapping[Address, Array],
        values: dict[int, Any],
        is_cancelled: Callable[[], bool],
        kernels: Mapping[str, Evaluate],
    ) -> None:
        self._plan = plan
        self._kernels = kernels
        self._nodes = plan.nodes
        self._feeds = feeds
        self._values = values
        self._is_cancelled = is_cancelled
        self._is_gen1 = plan.generation is Generation.GEN1
        self._steps = 0

    def items(self, items: Sequence[Item], carried: Mapping[int, Any] | None = None) -> None:
        """Run a program, or one round of a loop with what was carried to it."""
        for item in items:
            if isinstance(item, Loop):
                self._loop(item)
            else:
                self._values[item.id] = self._one(item, carried)

    def straight(self, items: Sequence[Item]) -> None:
        """Run the program of a graph without control flow: nothing is dead, and every node runs once."""
        values, read = self._values, self._value
        for count, node in enumerate(items, 1):
            assert isinstance(node, Node)  # noqa: S101 - there are no loops
            if count % 256 == 0 and self._is_cancelled():
                raise CancelledRunError
            values[node.id] = self._evaluated(node, [read(address, node) for address in node.inputs])

    def _loop(self, loop: Loop) -> None:
        for node in loop.enters:
            self._values[node.id] = self._one(node, None)
        carried: dict[int, Any] | None = None
        while True:
            if self._is_cancelled():
                raise CancelledRunError
            self.items(loop.body, carried)
            carried = {node.id: self._values[node.id] for node in loop.carries}
            if all(values is _DEAD or values[0] is _DEAD for values in carried.values()):
                return

    def _one(self, node: Node, carried: Mapping[int, Any] | None) -> Any:
        self._steps += 1
        if self._steps % 256 == 0 and self._is_cancelled():
            raise CancelledRunError
        if self._steps > MAX_STEPS:
            raise OperationError("loop", node.label, f"the run takes more than {MAX_STEPS} steps")
        if node.after and any(self._values.get(number) is _DEAD for number in node.after):
            return _DEAD
        if node.control is None:
            return self.compute(node)
        if node.control == "merge":
            return self._merge(node, carried)
        values = self._alive(node)
        if values is None:
            return _DEAD
        if node.control != "switch":
            return values
        data, predicate = values
        is_true = isinstance(predicate, np.ndarray) and predicate.size > 0 and bool(predicate.ravel()[0])
        return [_DEAD, data] if is_true else [data, _DEAD]

    def _merge(self, node: Node, carried: Mapping[int, Any] | None) -> Any:
        """Take what the round before brought, if there was one; else whichever input is alive."""
        back = [address for address in node.inputs if is_carried(address, self._nodes)]
        if back and carried is not None:
            values = carried.get(back[0].node, _DEAD)
            return _DEAD if values is _DEAD else [values[0], _place(node, back[0])]
        for address in node.inputs:
            if address in back:
                continue
            value = self._value(address, node)
            if value is not _DEAD:
                return [value, _place(node, address)]
        return _DEAD

    def _value(self, address: Address, node: Node) -> Any:
        values = self._values.get(address.node)
        if values is None:
            try:
                return self._feeds[address]
            except KeyError:
                feed = self._plan.feeds.get(address)
                name = feed.name if feed is not None and feed.name else str(address)
                raise OperationError(_kind(node), node.label, f"its input '{name}' was not fed") from None
        if values is _DEAD:
            return _DEAD
        if not 0 <= address.output < len(values):
            problem = f"its input {address} does not exist: there are {len(values)}"
            raise OperationError(_kind(node), node.label, problem)
        return values[address.output]

    def compute(self, node: Node) -> Any:
        """Compute one operation: its outputs, or that it is dead."""
        inputs = self._alive(node)
        return _DEAD if inputs is None else self._evaluated(node, inputs)

    def _alive(self, node: Node) -> list[Any] | None:
        """Return a node's inputs; None: one of them is dead."""
        inputs = []
        for address in node.inputs:
            value = self._value(address, node)
            if value is _DEAD:
                return None
            inputs.append(value)
        return inputs

    def _evaluated(self, node: Node, inputs: list[Any]) -> list[Any]:
        """Compute one operation from values that are alive."""
        assert node.operation is not None  # noqa: S101 - control flow is handled before
        if node.aligned_axes:
            inputs = _aligned(inputs, node.aligned_axes)
        try:
            operation = node.operation
            evaluate = self._kernels.get(operation.name, operation.evaluate)
            result = evaluate(inputs, node.arguments)
        except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
            raise OperationError(node.operation.name, node.label, _problem(error)) from error
        if isinstance(result, list | tuple):
            values = [_whole(value) for value in result]
        else:
            values = [result if isinstance(result, np.ndarray) else _whole(result)]
        return [self._gen1(value) for value in values] if self._is_gen1 else values

    def _gen1(self, value: Any) -> Any:
        """Make floats of everything: there is one element type in the first generation."""
        return value if isinstance(value, TensorList) or value.dtype.kind == "f" else value.astype(np.float32)

    def collect(self, wanted: Sequence[int]) -> dict[Address, Array]:
        """Return what is wanted, as far as it is alive and an array."""
        found: dict[Address, Array] = {}
        for number in wanted:
            values = self._values.get(number)
            if values is None:
                found |= {address: array for address, array in self._feeds.items() if address.node == number}
            elif values is not _DEAD:
                found |= {
                    Address(number, index): np.asarray(value)
                    for index, value in enumerate(values)
                    if value is not _DEAD and not isinstance(value, TensorList)
                }
        return found


def _kind(node: Node) -> str:
    return node.control or (node.operation.name if node.operation else "")


def _place(node: Node, address: Address) -> Array:
    return np.asarray(node.inputs.index(address), np.int32)


def _aligned(inputs: list[Any], axes: Sequence[int]) -> list[Any]:
    """Give the second operand the rank of the first, its dimensions along the named axes."""
    if len(inputs) < 2 or inputs[1].ndim >= inputs[0].ndim or inputs[1].ndim != len(axes):
        return inputs
    shape = [1] * inputs[0].ndim
    for axis, size in zip(axes, inputs[1].shape, strict=True):
        if not -len(shape) <= axis < len(shape):
            return inputs
        shape[axis] = size
    return [inputs[0], inputs[1].reshape(shape), *inputs[2:]]


def _whole(value: Any) -> Any:
    """Return an array of NumPy's scalars, which its functions make of arrays without axes."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def _problem(error: Exception) -> str:
    """Say in one line what was wrong: NumPy's words name shapes and types, no values."""
    if isinstance(error, MemoryError):
        return f"it needs more memory than there is (at most {MAX_BYTES} bytes an array)"
    if isinstance(error, IndexError | KeyError | AttributeError | TypeError):
        return "its inputs or arguments are not of the kind that it takes"
    return " ".join(str(error).split()) or type(error).__name__
