"""Try a plan in a process of its own.

A Rust panic in tract ends the process, and models, shapes and operators that bring one about are not rare
(a recurrent network with a symbolic batch size, an image smaller than a pooling window). So a plan is made
and run there first; what ends that process is refused here.

As a program (``python -m navi_tract.rehearsal``) it reads one job from standard input and writes a line of
JSON for each step that it survived.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["Report", "Runs", "rehearse"]

_LONGEST_S: Final = 900
"""A plan that takes longer will not serve anybody."""

Runs = Sequence[Sequence[tuple[str, Sequence[int | str]]]]
"""For each run, for each input: NumPy's name of the element type, and the shape."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a rehearsal.

    Parameters
    ----------
    inputs, outputs
        What tract inferred: name, dtype and dims of each, see :class:`navi_tract.planning.Fact`; None: it
        did not get so far.
    runs
        How many runs were survived.
    error
        What ended it, as tract says it (with backtraces); empty: nothing.
    died
        The process ended itself; ``error`` is what it left on standard error.
    skipped
        Why there was no rehearsal at all.
    """

    inputs: list[dict[str, Any]] | None = None
    outputs: list[dict[str, Any]] | None = None
    runs: int = 0
    error: str = ""
    died: bool = False
    skipped: str = ""


def rehearse(job: dict[str, Any], runs: Runs | None, checks: Sequence[dict[str, str]] = ()) -> Report:
    """Plan and run a job in a new process. Blocking: some tenths of a second.

    Parameters
    ----------
    job
        A :class:`navi_tract.planning.Job` as a dict.
    runs
        Runs to try, on zeros; None: the shapes are inferred, and nothing is planned.
    checks
        Facts with which the model must be sound as well.
    """
    # A host inside another program has an interpreter that does not know our packages by itself.
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "RUST_BACKTRACE": "0",
    }
    work = json.dumps({"job": job, "runs": runs, "checks": list(checks)})
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "navi_tract.rehearsal"],
            input=work,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LONGEST_S,
            env=environ,
        )
    except subprocess.TimeoutExpired:
        return Report(error=f"it took more than {_LONGEST_S} s")
    except OSError as error:
        return Report(skipped=os.strerror(error.errno) if error.errno else type(error).__name__)
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not any(step["step"] == "began" for step in steps):
        return Report(skipped=f"{os.path.basename(sys.executable)} could not import tract")  # noqa: PTH119 - it may be empty
    facts: dict[str, Any] = next((step for step in steps if step["step"] == "inferred"), {})
    refusal: str = next((step["text"] for step in steps if step["step"] == "error"), "")
    died = not refusal and done.returncode != 0
    return Report(
        inputs=facts.get("inputs"),
        outputs=facts.get("outputs"),
        runs=sum(step["step"] == "ran" for step in steps),
        error=(done.stderr or _signal_name(-done.returncode)) if died else refusal,
        died=died,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"exit status {-number}"


def _main() -> None:
    import numpy as np  # noqa: PLC0415 - the host imports this module as well, and needs none of these
    import tract  # noqa: PLC0415

    from navi_tract import planning  # noqa: PLC0415

    _say(step="began")
    work = json.loads(sys.stdin.read())
    job = planning.Job(**work["job"])
    try:
        model, inputs, outputs = planning.analyse(job)
        _say(
            step="inferred",
            inputs=[asdict(fact) for fact in inputs],
            outputs=[asdict(fact) for fact in outputs],
        )
        for facts in work["checks"]:
            planning.analyse(planning.Job(job.kind, job.path, facts, job.symbols))
        if work["runs"] is not None:
            plan = model.into_runnable()
            for arrays in work["runs"]:
                plan.run([np.zeros(shape, dtype) for dtype, shape in arrays])
                _say(step="ran")
    except tract.TractError as error:
        _say(step="error", text=str(error))


def _say(**step: Any) -> None:
    print(json.dumps(step), flush=True)  # noqa: T201 - the answer to the process that asked


if __name__ == "__main__":
    _main()
