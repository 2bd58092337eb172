from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.budget import MemoryBudget, memory_limit_bytes
from navi_core.errors import ErrorCode, MemoryBudgetError

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_reserve_holds_until_the_context_is_left():
    budget = MemoryBudget(100)
    with budget.reserve(60):
        assert budget.in_use_bytes == 60
        with pytest.raises(MemoryBudgetError, match=r"at most 100 bytes, got 41 more than the 60") as refused:
            budget.reserve(41)
        assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
        assert refused.value.reason == "memory_budget"
        with budget.reserve(40):
            assert budget.in_use_bytes == 100
    assert budget.in_use_bytes == 0


def test_leaving_twice_gives_back_once_and_errors_give_back():
    budget = MemoryBudget(10)
    held = budget.reserve(10)
    held.__exit__(None, None, None)
    held.__exit__(None, None, None)
    assert budget.in_use_bytes == 0
    with pytest.raises(RuntimeError), budget.reserve(3):
        raise RuntimeError
    assert budget.in_use_bytes == 0


def test_what_is_taken_is_held_until_it_is_given_back():
    budget = MemoryBudget(100)
    budget.take(60)
    with pytest.raises(MemoryBudgetError, match=r"got 41 more than the 60"):
        budget.take(41)
    with budget.reserve(40):
        assert budget.in_use_bytes == 100
    budget.give_back(60)
    assert budget.in_use_bytes == 0


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="limit_bytes"):
        MemoryBudget(0)
    with pytest.raises(ValueError, match="size_bytes"):
        MemoryBudget(1).reserve(-1)
    with pytest.raises(ValueError, match="size_bytes"):
        MemoryBudget(1).take(-1)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=60))
def test_the_limit_is_never_exceeded_and_the_sum_is_kept(steps):
    budget, held = MemoryBudget(100), []
    for take, size in steps:
        if take:
            fits = sum(each for each, _ in held) + size <= 100
            try:
                held.append((size, budget.reserve(size)))
            except MemoryBudgetError:
                assert not fits
            else:
                assert fits
        elif held:
            held.pop()[1].__exit__(None, None, None)
        assert budget.in_use_bytes == sum(each for each, _ in held) <= 100


def test_threads_share_one_budget():
    budget = MemoryBudget(8)
    worst = []

    def work():
        for _ in range(2000):
            try:
                with budget.reserve(3):
                    worst.append(budget.in_use_bytes)
            except MemoryBudgetError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.in_use_bytes == 0
    assert max(worst) <= 8


def lay_out(folder, cgroup, files):
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(cgroup)
    for path, text in files.items():
        (folder / "cg" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cg" / path).write_text(text)
    return memory_limit_bytes(folder / "proc", folder / "cg")


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/app/pod\n", {"app/pod/memory.max": "5000\n", "app/memory.max": "9000\n"}, 5000),
        ("0::/app/pod\n", {"app/pod/memory.max": "max\n", "app/memory.max": "9000\n"}, 9000),
        ("0::/\n", {"memory.max": "7000\n"}, 7000),
        ("0::/outside/name\n", {"memory.max": "7000\n"}, 7000),
        ("0::/../../x\n", {"memory.max": "7000\n"}, 7000),
        ("0::/\n", {"memory.max": "max\n"}, PHYSICAL),
        ("0::/\n", {"memory.max": "garbage"}, PHYSICAL),
        ("9:cpu,memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "6000\n"}, 6000),
        ("9:memory:/a\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, PHYSICAL),
        ("", {}, PHYSICAL),
    ],
)
def test_the_memory_limit_is_the_smallest_of_the_groups(tmp_path, cgroup, files, expected):
    assert lay_out(tmp_path, cgroup, files) == expected


def test_without_proc_it_is_what_the_machine_has(tmp_path):
    assert memory_limit_bytes(tmp_path, tmp_path) == PHYSICAL


def test_the_default_is_a_quarter_of_it():
    assert MemoryBudget().limit_bytes == memory_limit_bytes() // 4
