"""The fleet carries out what is decided: workers here are lists of what they were told."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from navi_core.batching.buffers import BufferPool
from navi_core.clock import ManualClock
from navi_core.config.records import HostConfig, ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import ServableState
from navi_core.errors import ErrorCode, ModelLoadError, ModelNotFoundError
from navi_core.metrics.cells import FamilySpec
from navi_core.metrics.metrics import Metrics
from navi_core.metrics.pages import FamilyPage, Page
from navi_core.models.manager import ServableManager
from navi_core.plugins.observers import Observers
from navi_core.testing.affine import AffineRuntime
from navi_core.testing.registries import registry_of
from navi_core.workers.fleet import Fleet
from navi_core.workers.members import Member
from navi_core.workers.protocol import (
    AdminDone,
    AdminWanted,
    Discard,
    Fault,
    Gather,
    Gathered,
    Held,
    Hold,
    Open,
    Opened,
    PageMade,
    PageWanted,
    Picture,
    Ping,
    Pong,
    Prepare,
    Prepared,
    PrepareFailed,
    Released,
    Remove,
    Removed,
    Switch,
    Switched,
)
from navi_core.workers.pulse import BEAT_S, BUSY_FACTOR
from navi_core.workers.swap import MIN_LOAD_LIMIT_S

SILENCE_S = 3.0
BEATS = round(SILENCE_S / BEAT_S)


class Worker:
    """A worker that obeys at once, as far as the test lets it."""

    def __init__(self, fleet, index, *, fails=False, counted=0.0, ignores=()):
        self.fleet, self.fails, self.counted = fleet, fails, counted
        self.told = []
        self.ignores = ignores
        """Kinds of messages that it does not answer."""
        self.member = Member(index, self.hear)
        self._loop = asyncio.get_running_loop()
        fleet.hello(self.member)

    def hear(self, message):
        self.told.append(message)
        answer = self.answer(message)
        if answer is not None:
            self._loop.call_soon(self.fleet.received, self.member, answer)

    def answer(self, message):
        if isinstance(message, self.ignores):
            return None
        match message:
            case Ping():
                return Pong()
            case Prepare(ticket=ticket) if self.fails:
                return PrepareFailed(ticket, Fault.of(ModelLoadError("broken", model="m", version=2)))
            case Prepare(ticket=ticket):
                return Prepared(ticket, "affine", "affine")
            case Hold(hold=hold):
                return Held(hold)
            case Switch(hold=hold):
                return Switched(hold, 0.001)
            case Remove(ticket=ticket):
                return Removed(ticket)
            case Open():
                return Opened({})
            case Gather(gather=gather, page=page):
                spec = FamilySpec("a_total", "counter", "")
                own = (FamilyPage(spec, (((), self.counted),)),)
                return Gathered(gather, Page(own=own) if page else None)
        return None

    def kinds(self, *kinds):
        return [type(each) for each in self.told if isinstance(each, kinds)]


class Parent:
    """A manager whose loads go to a fleet, and whose source is the test."""

    def __init__(self, threads, size=2):
        registry = registry_of(runtimes=[AffineRuntime])
        self.metrics = Metrics()
        self.clock = ManualClock()
        self.fleet = Fleet(size, metrics=self.metrics, now=self.clock.now, silence_s=SILENCE_S)
        self.dropped = []
        self.fleet.on_dropped = self.dropped.append
        self.manager = ServableManager(
            registry,
            HostConfig(max_load_retries=0),
            pool=BufferPool(),
            threads=threads,
            metrics=self.metrics,
            observers=Observers(registry.plugins),
            max_concurrent_batches=1,
            loader=self.fleet,
        )
        self.fleet.serve(self.manager, _Admin())
        self.manager.add_model(ModelConfig(path="/models/m"))

    def aspire(self, *versions):
        self.manager.set_aspired(
            "m",
            [Artifact(name="m", version=version, path=Path(f"/models/m/{version}")) for version in versions],
        )

    def states(self):
        return {each.version: each.state for each in self.manager.status("m")}

    async def beat(self, times):
        for _ in range(times):
            self.fleet.beat()
            await asyncio.sleep(0)

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.001)


class _Admin:
    async def unload(self, model):
        raise ModelNotFoundError(model)

    async def rescan(self, model):
        raise RuntimeError("a fault of the host's own")


@pytest.fixture
async def parent():
    with ThreadPoolExecutor(1) as threads:
        made = Parent(threads)
        yield made
        for index in (1, 2, 3):
            made.fleet.gone(index)
        await made.manager.close(1.0)


async def serving(parent, version):
    parent.aspire(version)
    await parent.until(lambda: parent.states().get(version) is ServableState.AVAILABLE)


async def test_a_version_is_available_once_all_workers_have_switched(parent):
    one, two = Worker(parent.fleet, 1), Worker(parent.fleet, 2)
    await serving(parent, 1)
    for worker in (one, two):
        assert worker.kinds(Prepare, Hold, Switch, Open) == [Switch, Open, Prepare, Hold, Switch]
    assert parent.manager.current_version("m") == 1
    assert "navi_swap_hold_seconds_count 2.0" in parent.metrics.render()[1].decode()


async def test_one_worker_that_cannot_load_keeps_all_from_it(parent):
    one, two = Worker(parent.fleet, 1), Worker(parent.fleet, 2)
    await serving(parent, 1)
    two.fails = True
    parent.aspire(2)
    await parent.until(lambda: parent.states().get(2) is ServableState.END)
    assert parent.manager.current_version("m") == 1
    assert "broken" in parent.manager.status("m")[-1].error_message
    assert one.kinds(Discard) == [Discard]
    assert len(one.kinds(Hold)) == len(two.kinds(Hold)) == 1


async def test_the_old_version_goes_when_the_new_one_serves(parent):
    one = Worker(parent.fleet, 1)
    await serving(parent, 1)
    await serving(parent, 2)
    await parent.until(lambda: parent.states().get(1) is ServableState.END)
    switched = [each for each in one.told if isinstance(each, Switch)]
    assert [each.current for each in switched[1:]] == [{"m": 1}, {"m": 2}]
    assert one.kinds(Remove) == [Remove]


async def test_a_rollback_goes_behind_the_barrier_too(parent):
    one = Worker(parent.fleet, 1)
    parent.manager.reconfigure_model(ModelConfig(path="/models/m"))
    parent.aspire(1, 2)
    await parent.until(lambda: set(parent.states().values()) == {ServableState.AVAILABLE})
    assert parent.manager.current_version("m") == 2
    parent.aspire(1)
    await parent.until(lambda: parent.states().get(2) is ServableState.UNLOADING)
    await parent.until(lambda: [each for each in one.told if isinstance(each, Switch) and each.remove])
    removing = [each for each in one.told if isinstance(each, Switch) and each.remove]
    assert removing[0].current == {"m": 1}
    parent.fleet.received(one.member, Removed(removing[0].remove[0]))
    await parent.until(lambda: parent.states().get(2) is ServableState.END)


async def test_a_new_worker_has_what_the_others_serve_before_it_listens(parent):
    Worker(parent.fleet, 1)
    await serving(parent, 1)
    two = Worker(parent.fleet, 2)
    await parent.until(lambda: two.kinds(Open))
    assert two.kinds(Picture, Prepare, Switch, Open)[:4] == [Picture, Prepare, Switch, Open]
    (switch,) = [each for each in two.told if isinstance(each, Switch)]
    assert switch.current == {"m": 1}
    assert len(switch.add) == 1
    await parent.until(lambda: parent.fleet.is_complete)


async def test_a_new_worker_that_cannot_load_it_is_reported(parent):
    Worker(parent.fleet, 1)
    await serving(parent, 1)
    unfit = []
    parent.fleet.on_unfit = lambda index, error: unfit.append((index, error.message))
    two = Worker(parent.fleet, 2, fails=True)
    await parent.until(lambda: unfit)
    assert unfit == [(2, "broken")]
    assert not two.kinds(Open)


async def test_a_worker_that_is_gone_keeps_its_counts(parent):
    one, two = Worker(parent.fleet, 1, counted=3.0), Worker(parent.fleet, 2, counted=4.0)
    await parent.until(lambda: parent.fleet.is_complete)
    one.fleet.received(one.member, PageWanted(1))
    await parent.until(lambda: one.kinds(PageMade))
    parent.fleet.gone(2)
    three = Worker(parent.fleet, 2, counted=1.0)
    await parent.until(lambda: three.kinds(Open))
    parent.fleet.received(one.member, PageWanted(2))
    await parent.until(lambda: len(one.kinds(PageMade)) == 2)
    pages = [each.body.decode() for each in one.told if isinstance(each, PageMade)]
    assert ["a_total 7.0" in page for page in pages] == [True, False]
    assert "a_total 8.0" in pages[1]
    assert two.kinds(Gather) == [Gather]


async def test_an_admin_operations_error_comes_back_as_what_it_was(parent):
    one = Worker(parent.fleet, 1)
    parent.fleet.received(one.member, AdminWanted(7, "unload", model="nothing"))
    await parent.until(lambda: one.kinds(AdminDone))
    (done,) = [each for each in one.told if isinstance(each, AdminDone)]
    assert done.call == 7
    error = done.fault.error()
    assert (type(error), error.code) == (ModelNotFoundError, ErrorCode.NOT_FOUND)


async def test_an_operation_that_the_host_fails_at_is_answered_too(parent):
    """The worker that asks, and its client, wait for the answer without a limit."""
    one = Worker(parent.fleet, 1)
    parent.fleet.received(one.member, AdminWanted(7, "rescan"))
    await parent.until(lambda: one.kinds(AdminDone))
    (done,) = [each for each in one.told if isinstance(each, AdminDone)]
    error = done.fault.error()
    assert (done.call, error.message, error.code) == (7, "internal error", ErrorCode.INTERNAL)


async def test_what_one_workers_service_keeps_all_know(parent):
    one, two = Worker(parent.fleet, 1), Worker(parent.fleet, 2)
    parent.fleet.received(one.member, AdminWanted(1, "keep", model="oip/m", value=b"x"))
    await parent.until(lambda: one.kinds(AdminDone))
    assert [each.memory for each in two.told if isinstance(each, Picture)][-1] == {"oip/m": b"x"}


async def test_what_was_held_in_vain_is_counted_too(parent):
    one = Worker(parent.fleet, 1)
    parent.fleet.received(one.member, Released(0.25))
    assert "navi_swap_hold_seconds_sum 0.25" in parent.metrics.render()[1].decode()


async def test_so_many_workers_load_at_once_as_are_allowed(parent):
    parent.fleet = Fleet(2, metrics=parent.metrics, now=parent.clock.now, max_loading=1)
    one, two = Worker(parent.fleet, 1, ignores=(Prepare,)), Worker(parent.fleet, 2)
    first = asyncio.ensure_future(parent.fleet.load(ModelConfig(path="/models/m"), _artifact(1)))
    await parent.until(lambda: one.kinds(Prepare) and two.kinds(Prepare))
    assert not first.done(), "the first version is loaded by all at once"
    parent.fleet.received(one.member, Prepared(1, "affine", "affine"))
    await first
    second = asyncio.ensure_future(parent.fleet.load(ModelConfig(path="/models/m"), _artifact(2)))
    await parent.until(lambda: len(one.kinds(Prepare)) == 2)
    assert len(two.kinds(Prepare)) == 1
    parent.fleet.received(one.member, Prepared(2, "affine", "affine"))
    await second
    assert len(two.kinds(Prepare)) == 2


def _artifact(version):
    return Artifact(name="m", version=version, path=Path(f"/models/m/{version}"))


# --- workers that hang ----------------------------------------------------------------------------------


async def test_workers_that_answer_are_not_dropped(parent):
    one = Worker(parent.fleet, 1)
    await parent.beat(3 * BEATS)
    assert one.kinds(Ping) == [Ping] * 3 * BEATS
    assert parent.dropped == []


@pytest.mark.parametrize("hangs_at", [Hold, Switch, Remove])
async def test_a_worker_that_hangs_is_dropped_and_the_others_go_on(parent, hangs_at):
    one, two = Worker(parent.fleet, 1), Worker(parent.fleet, 2)
    await serving(parent, 1)
    already = len(two.kinds(hangs_at))
    two.ignores = (Ping, hangs_at)
    parent.aspire(2)
    await parent.until(lambda: len(two.kinds(hangs_at)) > already)
    busy = BUSY_FACTOR if hangs_at is Remove else 1
    await parent.beat(BEATS * busy)
    assert parent.dropped == []
    await parent.beat(1)
    assert parent.dropped == [2]
    await parent.until(lambda: parent.states().get(1) is ServableState.END)
    assert parent.states()[2] is ServableState.AVAILABLE
    assert one.kinds(Remove) == [Remove]
    assert "navi_workers 1" in parent.metrics.render()[1].decode()


async def test_a_worker_that_is_about_to_listen_has_longer(parent):
    Worker(parent.fleet, 1, ignores=(Ping, Open, Switch))
    await parent.beat(BUSY_FACTOR * BEATS)
    assert parent.dropped == []
    await parent.beat(1)
    assert parent.dropped == [1]


async def test_what_a_dropped_worker_says_later_is_not_heard(parent):
    Worker(parent.fleet, 1)
    two = Worker(parent.fleet, 2)
    await serving(parent, 1)
    two.ignores = (Ping,)
    await parent.beat(BEATS + 1)
    assert parent.dropped == [2]
    parent.fleet.received(two.member, AdminWanted(1, "unload", model="nothing"))
    parent.fleet.received(two.member, Pong())
    await parent.beat(BEATS + 1)
    assert not two.kinds(AdminDone)
    assert parent.dropped == [2]


async def test_a_new_worker_whose_loads_never_end_is_dropped(parent):
    Worker(parent.fleet, 1)
    await serving(parent, 1)
    Worker(parent.fleet, 2, ignores=(Prepare,))
    parent.clock.advance(MIN_LOAD_LIMIT_S)
    await parent.beat(1)
    assert parent.dropped == []
    parent.clock.advance(1.0)
    await parent.beat(1)
    assert parent.dropped == [2]
