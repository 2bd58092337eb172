"""How many cores there are for a process: affinity, quota of either cgroup version, and what was said."""

from __future__ import annotations

import os

import pytest

from navi_core.cores import core_count, process_cores, quota_cores, worker_count


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Write files of a machine with eight cores; returns its root."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("NAVI_CORES", raising=False)

    def make(group):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(group)
        return tmp_path

    return make


def put(root, name, text):
    file = root / "sys/fs/cgroup" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_a_quota_the_affinity_counts(machine):
    root = machine("0::/\n")
    assert quota_cores(root) is None
    assert process_cores(root) == 8


@pytest.mark.parametrize(
    ("text", "quota", "cores"),
    [
        ("max 100000\n", None, 8),
        ("200000 100000\n", 2.0, 2),
        ("250000 100000\n", 2.5, 2),
        ("50000 100000\n", 0.5, 1),
        ("9900000 100000\n", 99.0, 8),
        ("nonsense\n", None, 8),
        ("100 0\n", None, 8),
    ],
)
def test_version_2(machine, text, quota, cores):
    root = machine("0::/\n")
    put(root, "cpu.max", text)
    assert quota_cores(root) == quota
    assert process_cores(root) == cores


def test_version_2__a_group_above_has_the_lower_limit(machine):
    root = machine("0::/pods/one\n")
    put(root, "pods/one/cpu.max", "400000 100000\n")
    put(root, "pods/cpu.max", "300000 100000\n")
    assert quota_cores(root) == 3.0


def test_version_2__within_a_container_the_path_may_be_the_hosts(machine):
    root = machine("0::/../../kubepods/burstable/pod7\n")
    put(root, "cpu.max", "300000 100000\n")
    assert quota_cores(root) == 3.0


@pytest.mark.parametrize(("quota", "expected"), [("400000\n", 4.0), ("-1\n", None)])
def test_version_1(machine, quota, expected):
    root = machine("12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n")
    put(root, "cpu,cpuacct/cpu.cfs_quota_us", quota)
    put(root, "cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert quota_cores(root) == expected


def test_nothing_to_read__no_quota(tmp_path):
    assert quota_cores(tmp_path) is None


def test_what_is_said_in_the_environment_counts(monkeypatch):
    monkeypatch.setenv("NAVI_CORES", "3")
    assert core_count() == 3
    assert worker_count(0) == 3
    assert worker_count(5) == 5
    monkeypatch.setenv("NAVI_CORES", "many")
    assert core_count() == process_cores()
