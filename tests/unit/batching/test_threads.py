"""Threads that run batches."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from structlog.testing import capture_logs

from navi_core.batching.threads import RunThreads


@pytest.fixture
def threads():
    made = RunThreads(3, name="under-test")
    yield made
    made.shutdown()
    for thread in threading.enumerate():  # the next test counts its own
        if thread.name.startswith("under-test"):
            thread.join(60)


def names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("under-test")]


def test_every_call_is_made_once_on_at_most_so_many_threads(threads):
    done = threading.Semaphore(0)
    lock, calls, seen = threading.Lock(), [], set()

    def call(number):
        with lock:
            calls.append(number)
            seen.add(threading.current_thread().name)
        done.release()

    for number in range(1000):
        threads.start(call, number)
    for _ in range(1000):
        assert done.acquire(timeout=60)
    assert sorted(calls) == list(range(1000))
    assert 1 <= len(seen) <= 3


def test_calls_that_wait_for_each_other_run_side_by_side(threads):
    barrier = threading.Barrier(3, timeout=60)
    done = threading.Semaphore(0)
    for _ in range(2):  # the second time the threads are there already
        for _ in range(3):
            threads.start(lambda: (barrier.wait(), done.release()))
        for _ in range(3):
            assert done.acquire(timeout=60)


def test_a_call_that_fails_costs_no_thread(threads):
    done = threading.Event()
    with capture_logs() as logs:
        for _ in range(6):
            threads.start(lambda: 1 / 0)
        threads.start(done.set)
        assert done.wait(60)
    assert "run_thread_call_failed" in [entry["event"] for entry in logs]


def test_idle_threads_go_and_come_back(threads):
    done, go = threading.Semaphore(0), threading.Event()
    threads.start(lambda: (done.release(), go.wait(60)))
    assert done.acquire(timeout=60)
    [thread] = [each for each in threading.enumerate() if each.name in names()]
    with threads._lock:
        assert threads._num_threads == 1
    go.set()
    for _ in range(1200):
        with threads._lock:
            if not threads._num_threads:
                break
        thread.join(0.05)  # the executor keeps it, the loop on it has ended
    assert threads._num_threads == threads._num_free == 0
    threads.start(done.release)
    assert done.acquire(timeout=60)


def test_after_a_shutdown_nothing_begins(threads):
    begun, go, late = threading.Semaphore(0), threading.Event(), []
    for _ in range(3):
        threads.start(lambda: (begun.release(), go.wait(60)))
    for _ in range(3):
        assert begun.acquire(timeout=60)
    threads.start(late.append, 1)
    threads.shutdown()
    threads.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        threads.start(late.append, 2)
    runners = [thread for thread in threading.enumerate() if thread.name in names()]
    go.set()
    for thread in runners:
        thread.join(60)
    assert late == []
    assert names() == []


def test_a_process_that_forgets_the_shutdown_ends():
    code = "from navi_core.batching.threads import RunThreads; RunThreads(2).start(print, 'ran')"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=240)
    assert found.stdout == b"ran\n"
