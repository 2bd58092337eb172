"""py-spy's stacks, by what navi was doing."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

Module = Callable[[str], ModuleType]

LOOP = "main (/x/navi_core/__main__.py:5);run (/lib/asyncio/runners.py:190)"


@pytest.mark.parametrize(
    ("innermost", "stage"),
    [
        (";poll (/lib/asyncio/base_events.py:1)", "gRPC or HTTP library, event loop"),
        (";_on_call (/x/navi_core/transports/grpc/handlers.py:1)", "transport, navi's part"),
        (
            ";decode (/x/navi_core/wire/a.py:1);frombuffer (/y/numpy/core.py:1)",
            "reading requests, writing answers",
        ),
        (";run (/x/navi_onnx/servable.py:1);run (/y/onnxruntime/capi/session.py:1)", "the framework's run"),
        (";run (/x/navi_onnx/servable.py:1)", "the framework's run"),
        (";batch_finished (/x/navi_core/metrics/signature.py:1)", "metrics and observers"),
    ],
)
def test_the_innermost_known_frame_decides(module: Module, innermost: str, stage: str) -> None:
    assert module("stages").stage_of(LOOP + innermost) == stage


def test_shares_are_of_all_samples(module: Module) -> None:
    stages = module("stages")
    found = stages.shares([f"{LOOP};f (/x/navi_core/wire/a.py:1) 3\n", "g (/lib/b.py:2) 1\n"])
    assert found["reading requests, writing answers"] == 0.75
    assert found[stages.LIBRARIES] == 0.25
    assert sum(found.values()) == 1.0
    with pytest.raises(ValueError, match="nothing"):
        stages.shares([])


def test_the_table_splits_the_time_of_a_request(module: Module) -> None:
    stages = module("stages")
    parts = dict.fromkeys([*stages.STAGES, stages.LIBRARIES], 0.0) | {stages.LIBRARIES: 1.0}
    text = stages.table({"navi, grpcio": (80.0, parts)})
    assert f"| {stages.LIBRARIES} | 80 (100%) |" in text
    assert text.endswith("| all | 80 |")
