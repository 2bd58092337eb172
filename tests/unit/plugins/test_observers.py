"""Who is told what happened."""

from __future__ import annotations

import sys

import structlog

from navi_core.contracts.events import RequestFinished, StateChanged
from navi_core.contracts.versions import ServableState
from navi_core.errors import ErrorCode
from navi_core.plugins.observers import Observers

FINISHED = RequestFinished(
    model="m",
    version=1,
    signature="serving_default",
    service="toy_sum",
    transport="toy_line",
    method="Sum",
    code=ErrorCode.OK,
    reason="",
    num_rows=1,
    batch_rows=1,
    queue_seconds=0.0,
    run_seconds=0.0,
    total_seconds=0.0,
)
CHANGED = StateChanged(model="m", version=1, before=None, after=ServableState.START)


def test_nothing_observes_where_nobody_registered(installed):
    observers = Observers(installed("toy_runtime").plugins)
    assert (observers.any_request_finished, observers.any_state_changed) == (False, False)


def test_an_observer_is_told(installed):
    observers = Observers(installed("toy_observer").plugins)
    assert (observers.any_request_finished, observers.any_state_changed) == (True, True)
    observers.state_changed(CHANGED)
    observers.request_finished(FINISHED)
    assert sys.modules["toy_observer.plugin"].EVENTS == [CHANGED, FINISHED]


def test_an_observer_that_raises_is_logged_and_the_others_are_told(registry_of):
    told = []

    def fail(event):
        raise ZeroDivisionError("observer")

    registry = registry_of(
        bad={"navi_request_finished": fail},
        good={"navi_request_finished": lambda event: told.extend([event])},
        one_sided={"navi_servable_state_changed": lambda: told.append("state")},
    )
    observers = Observers(registry.plugins)
    with structlog.testing.capture_logs() as logs:
        observers.request_finished(FINISHED)
    assert told == [FINISHED]
    [log] = logs
    assert (log["event"], log["plugin"], log["hook"]) == ("observer_failed", "bad", "navi_request_finished")
    observers.state_changed(CHANGED)
    assert told == [FINISHED, "state"]


def test_a_plugin_that_failed_to_register_does_not_observe(registry_of):
    registry = registry_of(
        bad={"navi_register_runtimes": lambda: 1 / 0, "navi_request_finished": lambda event: None}
    )
    assert not Observers(registry.plugins).any_request_finished


def test_the_hosts_own_observer_is_told_first(installed):
    told = []
    observers = Observers(installed("toy_runtime").plugins, own=told.append)
    assert (observers.any_request_finished, observers.any_state_changed) == (True, False)
    observers.request_finished(FINISHED)
    assert told == [FINISHED]
