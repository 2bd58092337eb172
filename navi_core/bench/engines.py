"""The engines, and which one carries out a plan when nobody says."""

from __future__ import annotations

from typing import Final

from navi_core.bench.h2load import H2loadEngine
from navi_core.bench.load import Engine, LoadPlan, Target
from navi_core.bench.python_engine import PythonEngine
from navi_core.bench.wrk import WrkEngine
from navi_core.errors import ConfigError

__all__ = ["ENGINES", "choose_engine"]

ENGINES: Final = ("auto", "h2load", "wrk", "python")


def choose_engine(
    name: str, target: Target, plan: LoadPlan, *, processes: int | None, expected: bytes | None
) -> Engine:
    """Return an engine that can carry out a plan.

    Parameters
    ----------
    name
        One of ``ENGINES``. ``auto``: the first that can, in their order: h2load tells every single latency, which wrk
        does not.
    processes
        Of the generator, or its threads; None: as it thinks best.
    expected
        The right answer, for the engine that looks at all of them; None: answers are not compared.

    Raises
    ------
    ConfigError
        The engine that was asked for cannot.
    """
    engines = (H2loadEngine(processes), WrkEngine(processes), PythonEngine(processes, expected))
    for engine in engines:
        if name not in ("auto", engine.name):
            continue
        reason = engine.why_not(target, plan)
        if not reason:
            return engine
        if name != "auto":
            raise ConfigError(f"{name} cannot do this: {reason}", path="--engine")
    raise ConfigError(f"expected one of {', '.join(ENGINES)}, got '{name}'", path="--engine")
