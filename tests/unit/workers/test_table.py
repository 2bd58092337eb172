"""What all workers serve, and which version answers where none is asked for."""

from __future__ import annotations

from unittest.mock import sentinel

import pytest

from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.workers.table import Change, ServedTable

MODEL = ModelConfig(path="/models/m")


def change(version, *, is_coming=True, ticket=None):
    artifact = Artifact(name="m", version=version, files={})
    return Change(version if ticket is None else ticket, MODEL, artifact, is_coming, sentinel.future)


@pytest.fixture
def table():
    """Versions 1 and 2 are served, and 2 answers."""
    made = ServedTable()
    for version in (1, 2):
        made.switch(change(version), 0, aspired={1, 2})
    return made


def test_the_newest_that_is_wanted_answers(table):
    assert table.current() == {"m": 2}
    switch = table.switch(change(3), 7, aspired={1, 2})
    assert (switch.hold, switch.add, switch.remove, switch.current) == (7, (3,), (), {"m": 2})


def test_a_change_is_made_once_however_many_are_told(table):
    coming = change(3)
    first = table.switch(coming, 7, aspired={3})
    table.switch(change(4), 8, aspired={4})
    assert table.switch(coming, 7, aspired={4}) is first
    assert table.current() == {"m": 4}


def test_one_that_goes_leaves_the_next_newest(table):
    switch = table.switch(change(2, is_coming=False), 7, aspired={1})
    assert (switch.add, switch.remove, switch.current) == ((), (2,), {"m": 1})
    assert set(table.by_ticket()) == {1}


@pytest.mark.parametrize(("version", "aspired", "same"), [(1, {2}, True), (2, {1}, False), (1, {1}, True)])
def test_whether_another_version_answers_once_one_is_dropped(table, version, aspired, same):
    assert table.leaves_same(("m", version), aspired) is same


def test_the_last_one_leaves_nothing_that_answers(table):
    table.drop(("m", 1), aspired={2})
    assert table.leaves_same(("m", 2), aspired=())
    assert table.drop(("m", 2), aspired=()) == {"m": None}
    assert not table


def test_a_number_that_came_again_is_another_version(table):
    table.switch(change(2, ticket=9), 0, aspired={2})
    assert table.served_as(2, ("m", 2)) is None
    assert table.served_as(9, ("m", 2)).ticket == 9
