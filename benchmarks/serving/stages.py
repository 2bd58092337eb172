"""Where a small request's time goes: samples of py-spy, split by what navi was doing, times the time of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LIBRARIES = "gRPC or HTTP library, event loop"
STARTING = ("/navi_core/__main__.py", "/navi_core/cli/")  # at the bottom of every stack
STAGES = {  # by the innermost frame whose file has one of these in its path
    "the framework's run": (
        "/onnxruntime/",
        "/navi_onnx/servable.py",
    ),  # who calls it: its own frames are not Python
    "reading requests, writing answers": ("/navi_core/wire/", "/navi_core/services/"),
    "metrics and observers": ("/navi_core/metrics/", "/navi_core/plugins/", "/navi_core/logs.py"),
    "transport, navi's part": ("/navi_core/transports/", "/navi_core/routing.py", "/navi_core/hosted/"),
    "checks, queue, batches, hand-over": ("/navi_core/", "/navi_onnx/"),  # all the rest of navi
}


def stage_of(stack: str) -> str:
    """Return the stage of one of py-spy's stacks: ``outermost (file:line);...;innermost (file:line)``."""
    for frame in reversed(stack.split(";")):
        if any(part in frame for part in STARTING):
            break
        for stage, parts in STAGES.items():
            if any(part in frame for part in parts):
                return stage
    return LIBRARIES


def shares(folded: Iterable[str]) -> dict[str, float]:
    """Return what part of the samples each stage has.

    Parameters
    ----------
    folded
        Lines of ``py-spy record --format raw``: a stack, a blank, how many samples had it.

    Raises
    ------
    ValueError
        There is no sample.
    """
    counts = dict.fromkeys([*STAGES, LIBRARIES], 0)
    for line in folded:
        stack, _, count = line.rstrip().rpartition(" ")
        if stack:
            counts[stage_of(stack)] += int(count)
    if not (total := sum(counts.values())):
        raise ValueError("py-spy saw nothing")
    return {stage: count / total for stage, count in counts.items()}


def table(found: Mapping[str, tuple[float, Mapping[str, float]]]) -> str:
    """Return Markdown: row of the benchmark -> its processor time of a request in microseconds, its shares."""
    lines = [
        "| stage, us of processor a request | " + " | ".join(found) + " |",
        "| --- " * (len(found) + 1) + "|",
    ]
    for stage in [*STAGES, LIBRARIES]:
        cells = [f"{us * parts[stage]:.0f} ({parts[stage]:.0%})" for us, parts in found.values()]
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    lines.append("| all | " + " | ".join(f"{us:.0f}" for us, _ in found.values()) + " |")
    return "\n".join(lines)
