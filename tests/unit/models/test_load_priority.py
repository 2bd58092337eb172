"""The priority of loading threads, on the threads of this process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from navi_core.models.load_priority import LOADING_NICE, LoadPriority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities on Linux only")


def in_thread(call: Callable[[], object]) -> object:
    """Call in a fresh thread, as loads are: its priority may stay low."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def policy(thread: int = 0) -> int:
    return os.sched_getscheduler(thread or threading.get_native_id())


class Pool:
    """A thread that a load starts and leaves behind."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._stop.wait)
        self._thread.start()
        self.id = self._thread.native_id or 0

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def pools():
    """Return what makes pools, which end with the test."""
    with ExitStack() as stack:

        def make() -> Pool:
            pool = Pool()
            stack.callback(pool.close)
            return pool

        yield make


def load(priority: LoadPriority, model: str = "m", do: Callable[[], object] = niceness) -> object:
    def run() -> object:
        with priority.lowered(model):
            return do()

    return in_thread(run)


def test_lowered__is_lowered_from_a_models_second_load_on():
    priority, usual = LoadPriority(), niceness()
    assert [load(priority) for _ in range(3)] == [usual, usual + LOADING_NICE, usual + LOADING_NICE]
    assert load(priority, "other") == usual
    assert niceness() == usual


def test_lowered__is_not_lowered_after_a_load_that_left_threads(pools):
    priority, usual = LoadPriority(), niceness()
    found = []
    load(priority, do=lambda: found.append(pools()))
    assert load(priority) == usual
    assert load(priority) == usual + LOADING_NICE
    assert policy(found[0].id) == os.SCHED_OTHER


def test_lowered__keeps_its_priority_again_once_a_load_leaves_threads(pools):
    priority, usual = LoadPriority(), niceness()
    load(priority)
    load(priority, do=pools)
    assert load(priority) == usual


def test_lowered__does_not_learn_from_loads_beside_which_threads_were_started(pools):
    priority, usual = LoadPriority(), niceness()
    load(priority, "slow", do=lambda: load(priority, "fast", do=pools))
    assert load(priority, "fast") == usual
    assert load(priority, "slow") == usual


def test_lowered__gives_the_policy_back_where_a_load_fails():
    def fail() -> tuple[int, int]:
        with suppress(ValueError), LoadPriority().lowered("m"):
            assert policy() == os.SCHED_BATCH
            raise ValueError("broken")
        return policy(), niceness()

    assert in_thread(fail) == (os.SCHED_OTHER, niceness())


def test_lowered__leaves_a_process_with_a_policy_of_its_own_alone():
    def run() -> list[tuple[int, int]]:
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))
        priority, found = LoadPriority(), []
        for _ in range(3):
            with priority.lowered("m"):
                found.append((policy(), niceness()))
        # a thread is there a moment longer than who joins it waits: the next test's loads would find it marked
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_OTHER, os.sched_param(0))
        return found

    assert in_thread(run) == [(os.SCHED_BATCH, niceness())] * 3


def test_lowered__does_without_where_it_is_forbidden(monkeypatch):
    def forbid(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbid)
    priority = LoadPriority()
    assert [load(priority) for _ in range(2)] == [niceness()] * 2
