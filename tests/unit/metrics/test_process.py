"""What the page says of the process: as prometheus-client has it, and of several processes as one."""

from __future__ import annotations

import os
import sys
import time

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.parser import text_string_to_metric_families as parse_text

from navi_core.metrics.families import FAMILIES
from navi_core.metrics.metrics import Metrics
from navi_core.metrics.pages import counts_of, merge
from navi_core.metrics.process import PROCESS_FAMILIES, ProcessFamilies

STAT = (
    "7 (a name) with) S 1 7 7 0 -1 4194560 900 0 0 0 {user} 25 0 0 20 0 9 0 {start} 4096000 {pages} "
    "18446744073709551615"
)
LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units\n"
    "Max open files            {max_fds}                 4096                 files\n"
)


def process(folder, *, user=150, start=500, pages=1000, max_fds=1024, num_fds=3):
    """Return the source of a process of which a made-up process file system tells."""
    own = folder / "self"
    (own / "fd").mkdir(parents=True)
    (folder / "stat").write_text("cpu 1 2 3\nbtime 1700000000\n")
    (own / "stat").write_text(STAT.format(user=user, start=start, pages=pages))
    (own / "limits").write_text(LIMITS.format(max_fds=max_fds))
    for number in range(num_fds):
        (own / "fd" / str(number)).touch()
    metrics = Metrics()
    metrics.set_process_source(ProcessFamilies(str(folder)))
    return metrics


def values(metrics, page=None):
    text = metrics.render("", page)[1].decode()
    return {
        sample.name: sample.value
        for family in parse_text(text)
        for sample in family.samples
        if sample.name.startswith("process_")
    }


def test_a_process__is_told_of_as_the_system_does(tmp_path):
    ticks, page_size = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE")
    assert values(process(tmp_path)) == {
        "process_cpu_seconds_total": 175 / ticks,
        "process_resident_memory_bytes": 1000 * page_size,
        "process_virtual_memory_bytes": 4096000,
        "process_start_time_seconds": 1_700_000_000 + 500 / ticks,
        "process_open_fds": 3,
        "process_max_fds": 1024,
    }


def test_several_processes__become_one(tmp_path):
    ticks, page_size = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE")
    one = process(tmp_path / "one", user=100, start=900, pages=10, num_fds=9)
    two = process(tmp_path / "two", user=200, start=700, pages=20, num_fds=4, max_fds=256)
    gone = process(tmp_path / "gone", user=975, start=100, pages=40, num_fds=99)
    joined = merge([one.page(), two.page(), counts_of(gone.page())])
    assert values(one, joined) == {
        # of what a process took, nothing is forgotten when it ends: a counter never falls
        "process_cpu_seconds_total": pytest.approx((125 + 225 + 1000) / ticks),
        "process_resident_memory_bytes": 30 * page_size,
        "process_virtual_memory_bytes": 2 * 4096000,
        "process_start_time_seconds": 1_700_000_000 + 700 / ticks,
        # the one that is nearest to its limit is the one to be warned of
        "process_open_fds": 9,
        "process_max_fds": 256,
    }


def test_without_a_process_file_system__nothing_is_told(tmp_path):
    metrics = Metrics()
    metrics.set_process_source(ProcessFamilies(str(tmp_path / "none")))
    assert values(metrics) == {}
    assert b"navi_build_info{" in metrics.render()[1]


def test_the_families__are_those_of_prometheus_client():
    theirs = ProcessCollector(registry=CollectorRegistry()).collect()
    kinds = {sample.name: metric.type for metric in theirs for sample in metric.samples}
    if sys.platform == "linux":
        assert kinds == {name: FAMILIES[name].kind for name in PROCESS_FAMILIES}


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_this_process__started_before_now_and_takes_memory():
    metrics = Metrics()
    metrics.set_process_source(ProcessFamilies())
    shown = values(metrics)
    assert set(shown) == set(PROCESS_FAMILIES)
    assert 0 < shown["process_start_time_seconds"] < time.time() + 1
    assert shown["process_resident_memory_bytes"] > 1_000_000
    assert 0 < shown["process_open_fds"] <= shown["process_max_fds"]
