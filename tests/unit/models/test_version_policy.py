"""Version names, choices, and the policy's steps, alone and in simulated histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.contracts.source import VersionChoice
from navi_core.contracts.versions import ServableState as S
from navi_core.models.lifecycle import Event, advance
from navi_core.models.version_policy import (
    MAX_VERSION,
    Load,
    Unload,
    VersionSnapshot,
    choose,
    next_action,
    parse_version,
)

# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 1),
        ("00000123", 123),
        ("9223372036854775807", MAX_VERSION),
        ("0" * 200 + "7", 7),
        ("2022-12-20T10:18:53.000Z", 1671531533000),
        ("2022-12-20T10:18:53Z", 1671531533000),
        ("2022-12-20t10:18:53z", 1671531533000),
        ("2022-12-20T10:18:53.1239Z", 1671531533123),
        ("2022-12-20T10:18:53.1Z", 1671531533100),
        ("2022-12-20T12:18:53+02:00", 1671531533000),
        ("2022-12-20T05:18:53-05:00", 1671531533000),
        ("2016-12-31T23:59:60Z", 1483228800000),
        ("1970-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00Z", None),
        ("1969-12-31T23:59:59.999Z", None),
        ("9223372036854775808", None),
        ("9" * 5000, None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1_000", None),
        ("", None),
        (" 1", None),
        ("1\n", None),
        ("٣", None),
        ("v1", None),
        ("2022-12-20T10:18:53", None),
        ("2022-12-20", None),
        ("2022-13-20T10:18:53Z", None),
        ("2022-02-30T10:18:53Z", None),
        ("2022-12-20T24:00:00Z", None),
        ("2022-12-20T10:18:61Z", None),
        ("2022-12-20T10:18:53+24:00", None),
        ("2022-12-20T10:18:53+02:60", None),
        ("2022-12-20T10:18:53.Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:60-23:59", 253402387140000),
    ],
)
def test_parse_version__reads_int64_and_rfc3339(text, expected):
    assert expected == parse_version(text)


@given(st.integers(0, MAX_VERSION), st.integers(0, 30))
def test_parse_version__is_the_inverse_of_str(number, zeros):
    assert number == parse_version("0" * zeros + str(number))


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_parse_version__agrees_with_datetime(moment):
    # not by total_seconds(): a float of seconds rounds up in the far future
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert expected == parse_version(moment.isoformat())


def test_parse_version__truncates_far_in_the_future():
    assert parse_version("3059-01-01T00:00:00.999997+00:00") == 34365513600999


@given(st.text(max_size=40))
def test_parse_version__never_raises(text):
    number = parse_version(text)
    assert number is None or 0 <= number <= MAX_VERSION


# --- choices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (VersionChoice(), (10,)),
        (VersionChoice("latest", num_latest=2), (9, 10)),
        (VersionChoice("latest", num_latest=99), (1, 9, 10)),
        (VersionChoice("latest", num_latest=0), (10,)),
        (VersionChoice("all"), (1, 9, 10)),
        (VersionChoice("specific", versions=(9, 1, 7)), (1, 9)),
        (VersionChoice("specific"), ()),
    ],
)
def test_choose__is_numeric(choice, expected):
    assert expected == choose([9, 10, 1, 9], choice)


@pytest.mark.parametrize("kind", ["latest", "all", "specific"])
def test_choose__of_nothing_is_nothing(kind):
    assert choose([], VersionChoice(kind, versions=(1,))) == ()


# --- single steps -----------------------------------------------------------------------------


def old(version, state=S.AVAILABLE):
    return VersionSnapshot(version, state, aspired=False)


def new(version, state=S.START, *, may_load=True):
    return VersionSnapshot(version, state, aspired=True, may_load=may_load)


@pytest.mark.parametrize(
    ("snapshots", "availability", "resource"),
    [
        ([], None, None),
        ([new(1)], Load(1), Load(1)),
        ([new(1), new(3), new(2)], Load(3), Load(3)),
        ([new(1), new(3, may_load=False)], Load(1), Load(1)),
        ([new(1), new(3, S.LOADING)], None, None),
        ([old(1), new(2)], Load(2), Unload(1)),
        ([old(2), new(1)], Load(1), Unload(2)),
        ([old(1, S.UNLOADING), new(2)], Load(2), None),
        ([old(1), new(2, S.LOADING)], None, Unload(1)),
        ([old(1), new(2, S.AVAILABLE)], Unload(1), Unload(1)),
        ([old(1), old(2), new(3, S.AVAILABLE)], Unload(1), Unload(1)),
        ([old(1), new(2, S.AVAILABLE), new(3)], Load(3), Unload(1)),
        ([old(1), new(2, S.AVAILABLE), new(3, S.LOADING)], Unload(1), Unload(1)),
        ([old(1), old(2)], Unload(1), Unload(1)),
        ([old(1), new(2, may_load=False)], None, Unload(1)),
        ([old(1), new(2, S.END)], None, Unload(1)),
        ([old(1, S.LOADING), new(2)], None, None),
        ([old(1, S.START)], None, None),
        ([old(1, S.END), old(2, S.UNLOADING)], None, None),
    ],
)
def test_next_action__decides(snapshots, availability, resource):
    assert availability == next_action(snapshots, "availability")
    assert resource == next_action(snapshots, "resource")
    assert availability == next_action(snapshots[::-1], "availability")
    assert resource == next_action(snapshots[::-1], "resource")


# --- histories --------------------------------------------------------------------------------


class World:
    """A model whose manager does what the policy says, with loads that may fail or hang."""

    def __init__(self, transition):
        self.transition = transition
        self.states = {}
        self.aspired = set()
        self.barred = set()

    def snapshots(self):
        return [
            VersionSnapshot(version, state, version in self.aspired, may_load=version not in self.barred)
            for version, state in self.states.items()
        ]

    def available(self, *, aspired=None):
        return {
            version
            for version, state in self.states.items()
            if state is S.AVAILABLE and (aspired is None or (version in self.aspired) == aspired)
        }

    def aspire(self, versions):
        self.aspired = set(versions)
        for version in versions:
            if self.states.get(version, S.END) is S.END:
                self.states[version] = S.START
                self.barred.discard(version)
        for version, state in list(self.states.items()):
            if state is S.START and version not in self.aspired:
                self.states[version] = advance(state, Event.DROPPED)

    def happen(self, version, event):
        self.states[version] = advance(self.states[version], event)

    def step(self):
        before = self.snapshots()
        action = next_action(before, self.transition)
        assert action == next_action(before, self.transition), "idempotent"
        if isinstance(action, Load):
            assert action.version in self.aspired
            assert action.version not in self.barred
            assert S.LOADING not in self.states.values(), "one load at a time"
            if self.transition == "resource":
                assert not self.available(aspired=False)
                assert S.UNLOADING not in self.states.values()
            self.happen(action.version, Event.LOAD_STARTED)
        elif isinstance(action, Unload):
            assert action.version not in self.aspired
            self.happen(action.version, Event.UNLOAD_STARTED)
            if self.transition == "availability" and self.aspired:
                assert self.available(aspired=True), "the old one goes only after a new one came"
        return action

    def finish_one(self, *, ok):
        """Let the oldest running load or unload end; tells whether there was one."""
        for version, state in self.states.items():
            if state is S.LOADING:
                self.happen(version, Event.LOAD_SUCCEEDED if ok else Event.LOAD_FAILED)
                return True
            if state is S.UNLOADING:
                self.happen(version, Event.UNLOAD_FINISHED)
                return True
        return False


STEPS = st.one_of(
    st.tuples(st.just("aspire"), st.sets(st.integers(1, 5), max_size=3)),
    st.tuples(st.just("act"), st.none()),
    st.tuples(st.just("finish"), st.booleans()),
    st.tuples(st.just("bar"), st.integers(1, 5)),
)


@settings(max_examples=150)
@given(st.sampled_from(["availability", "resource"]), st.lists(STEPS, max_size=40))
def test_next_action__histories_keep_the_promises_and_end(transition, steps):
    """Through any mix of new aspirations, failures and slow loads the promises hold, and it ends."""
    world = World(transition)
    for kind, argument in steps:
        had = bool(world.available())
        if kind == "aspire":
            world.aspire(argument)
        elif kind == "bar":
            world.barred.add(argument)
        elif kind == "finish":
            world.finish_one(ok=argument)
        else:
            world.step()
        if transition == "availability" and had and world.aspired:
            assert world.available(), "never none available while something is wanted"
    for _ in range(100):
        if world.step() is None and not world.finish_one(ok=True):
            break
    else:
        pytest.fail("the policy does not come to rest")
    _assert_at_rest(world, transition)


def _assert_at_rest(world, transition):
    wanted = {version for version in world.aspired if world.states[version] is S.START}
    assert wanted <= world.barred, "at rest only what may not load is missing"
    leftover = world.available(aspired=False)
    if transition == "resource" or not world.aspired or world.available(aspired=True):
        assert not leftover
