"""Rounds of turns: one server that does not start, answers wrong or ends under its load does not end the others'."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import MissingError
from load import LoadError
from measuring import WrongAnswerError
from processes import StartError, last_words
from servers import Server


@dataclass(frozen=True)
class Found:
    """What the turns gave, by server, and why some had no more of them."""

    turns: dict[str, list[dict[str, Any]]]
    left_out: dict[str, str]


def take_turns(
    servers: Sequence[Server], rounds: int, take: Callable[[Server], dict[str, Any]], log: Path
) -> Found:
    """Give every server a turn in every round, until it fails.

    Parameters
    ----------
    take
        Measures one server once.
    log
        What a server writes; its last words say more than the error does.
    """
    found = Found({server.name: [] for server in servers}, {})
    for number in range(rounds):
        # another one begins each round: whatever comes and goes on the machine meets all of them
        begin = number % len(servers)
        for server in [*servers[begin:], *servers[:begin]]:
            if server.name in found.left_out:
                continue
            try:
                found.turns[server.name].append(take(server))
            except MissingError as error:
                found.left_out[server.name] = str(error)
            except (StartError, WrongAnswerError, LoadError) as error:
                said = last_words(log)
                found.left_out[server.name] = f"{error} ({said})" if said not in str(error) else str(error)
            word = found.left_out.get(server.name) or "measured"
            print(f"round {number + 1} of {rounds}, {server.name}: {word}", file=sys.stderr, flush=True)
    return found
