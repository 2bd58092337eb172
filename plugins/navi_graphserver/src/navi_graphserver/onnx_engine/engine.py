"""Running the ONNX form of a graph, where it has one that gives the graph's own answers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.errors import OperationError
from navi_graphserver.evaluator import Evaluator
from navi_graphserver.flat.records import Address
from navi_graphserver.plan import Feed, GraphPlan

__all__ = ["OnnxEngine", "make_engine"]

_NEEDED = ("onnx", "onnxruntime")
_RTOL, _ATOL = 1e-3, 1e-5
_SIZES: Final = (3, 2)
"""Of what is open in made-up inputs. A form may know more of the first than it should: the second one tells."""


class OnnxEngine:
    """Computes the outputs of the default signature.

    Parameters
    ----------
    session
        ONNX Runtime's.
    outputs
        Name -> address.
    inputs
        Addresses that have to be fed, all of them; nothing else can be.

    Attributes
    ----------
    input_names, output_names
        Address -> the session's name of it.
    """

    def __init__(self, session: Any, outputs: Mapping[str, Address], inputs: Sequence[Address]) -> None:
        self._run = session.run
        self.input_names = {address: str(address) for address in inputs}
        self.output_names = {address: f"output {name}" for name, address in outputs.items()}

    def compute(self, names: list[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Compute outputs, by the session's names.

        Raises
        ------
        OperationError
            ONNX Runtime could not; one line, without values.
        """
        try:
            answers: list[Array] = self._run(names, feeds)
        except Exception as error:  # onnxruntime's own classes, which differ between versions
            raise OperationError("onnx", "graph", _first_line(error)) from error
        return answers


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def make_engine(
    plan: GraphPlan,
    inputs: Sequence[Feed],
    outputs: Mapping[str, Address],
    evaluator: Evaluator,
    trial: Callable[[int], Mapping[Address, Array] | None],
    threads: int | None,
) -> tuple[OnnxEngine | None, str]:
    """Return the engine, or None and why there is none.

    Parameters
    ----------
    plan, inputs, outputs
        As for :func:`~navi_graphserver.onnx_engine.convert.convert`.
    evaluator
        Computes the graph with NumPy: its answers are what the engine's are compared with.
    trial
        Makes inputs for that, their open dimensions of one size; None: none could be made.
    threads
        ONNX Runtime's threads within an operation; None: one.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return None, f"{' and '.join(missing)} not installed"
    if plan.has_control_flow:
        return None, "the graph has control flow"
    if not inputs or not outputs:
        return None, "nothing is fed"
    for feed in inputs:
        if feed.shape is None:  # forms are written for a number of axes
            return None, f"the number of axes of input '{feed.name or feed.address}' is not known"
    from navi_graphserver.onnx_engine.convert import convert  # noqa: PLC0415 - imports onnx
    from navi_graphserver.onnx_engine.writing import NotConvertibleError  # noqa: PLC0415 - imports onnx

    fed = trial(_SIZES[0])
    if fed is None:
        return None, "no inputs could be made up to try it"
    try:
        samples = evaluator.run(fed, [*(feed.address.node for feed in plan.feeds.values()), *plan.nodes])
        model = convert(plan, inputs, outputs, samples, evaluator.constants)
        session = _session(model, threads)
    except (NotConvertibleError, OperationError) as error:
        return None, str(error)
    engine = OnnxEngine(session, outputs, [feed.address for feed in inputs])
    why_not = _why_not(engine, outputs, fed, samples)
    other = trial(_SIZES[1])
    if not why_not and other is not None:
        try:
            samples = evaluator.run(other, [address.node for address in outputs.values()])
        except OperationError:  # the graph takes no other size
            return engine, ""
        why_not = _why_not(engine, outputs, other, samples)
    return (None, why_not) if why_not else (engine, "")


def _why_not(
    engine: OnnxEngine,
    outputs: Mapping[str, Address],
    fed: Mapping[Address, Array],
    expected: Mapping[Address, Array],
) -> str:
    """Say why an engine does not do; empty: it gives the answers that are expected."""
    try:
        answers = engine.compute(
            [engine.output_names[address] for address in outputs.values()],
            {engine.input_names[address]: array for address, array in fed.items()},
        )
    except OperationError as error:
        return str(error)
    for (name, address), answer in zip(outputs.items(), answers, strict=True):
        if not _same(answer, expected[address]):
            return f"its answers for '{name}' differ from NumPy's"
    return ""


def _session(model: bytes, threads: int | None) -> Any:
    """Open a session.

    Raises
    ------
    OperationError
        ONNX Runtime refuses the model.
    """
    import onnxruntime  # noqa: PLC0415 - an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes, which differ between versions
        raise OperationError("onnx", "graph", _first_line(error)) from error


def _same(one: Array, other: Array) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=_RTOL, atol=_ATOL, equal_nan=True))
    return bool(np.array_equal(one, other))
