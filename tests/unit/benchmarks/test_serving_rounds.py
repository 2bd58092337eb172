"""A server that fails in its turn has no more of them; the others go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Module = Callable[[str], ModuleType]


@pytest.mark.parametrize("kind", ["StartError", "WrongAnswerError", "LoadError"])
def test_a_server_that_ends_under_its_load_is_left_out_with_its_last_words(
    module: Module, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds, servers = module("rounds"), module("servers")
    log = tmp_path / "server.log"
    log.write_text("loaded\nSegmentation fault\n\n")
    asked: list[str] = []

    def take(server: Any) -> dict[str, Any]:
        asked.append(server.name)
        if server.name == "b" and asked.count("b") == 2:
            raise getattr(rounds, kind)("12 requests done, 4 failed")
        return {"turn": len(asked)}

    three = [servers.Server(name, {}, lambda _place: []) for name in "abc"]
    found = rounds.take_turns(three, 3, take, log)
    assert asked == ["a", "b", "c", "b", "c", "a", "c", "a"]
    assert {name: len(turns) for name, turns in found.turns.items()} == {"a": 3, "b": 1, "c": 3}
    assert found.left_out == {"b": "12 requests done, 4 failed (Segmentation fault)"}
    assert "round 2 of 3, b: 12 requests done, 4 failed (Segmentation fault)" in capsys.readouterr().err


def test_what_is_not_installed_is_left_out_as_it_says(module: Module, tmp_path: Path) -> None:
    rounds, servers = module("rounds"), module("servers")

    def take(_: Any) -> dict[str, Any]:
        raise rounds.MissingError("it is not installed here")

    found = rounds.take_turns([servers.Server("a", {}, lambda _place: [])], 2, take, tmp_path / "none")
    assert (found.turns, found.left_out) == ({"a": []}, {"a": "it is not installed here"})


def test_a_process_that_is_gone_holds_no_memory(module: Module) -> None:
    assert module("processes").resident_mb(2**22 + 1) is None  # beyond the largest number of a process
