"""Leases and watches: one holder at a time, the dead are passed over, the late are fenced; stamps never count."""

from __future__ import annotations

import pytest

from mlopsfw.kernel.base.errors import Fenced
from mlopsfw.kernel.events.lease import Takeover
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.operations.lease import Lease, Watch
from mlopsfw_storage_object.local import LocalStorage


class HeldClock:
    def __init__(self, wall=1_700_000_000.0):
        self.wall, self.time = wall, 0.0

    def now(self):
        return self.wall

    def monotonic(self):
        return self.time


@pytest.fixture
def clock():
    return HeldClock()


@pytest.fixture
def open_stream(tmp_path, clock):
    storage = LocalStorage(tmp_path / "store")
    return lambda name="lease/loop", clock=clock: Ledger(
        storage, actor=lambda: "a", clock=clock, types=EventTypes()
    ).stream(name)


@pytest.fixture
def lease(open_stream, clock):
    return lambda holder: Lease(open_stream(), holder, clock, patience=10)


def test_one_holds_it_and_the_other_waits_until_it_is_released(lease):
    a, b = lease("a"), lease("b")
    assert a.acquire() == 1
    assert a.acquire() == 1
    assert b.acquire() is None
    a.renew()
    a.release()
    assert b.acquire() == 2
    assert a.acquire() is None


def test_a_holder_that_stops_renewing_is_passed_over_and_fenced(lease, clock):
    a, b = lease("a"), lease("b")
    a.acquire()
    for _ in range(5):
        clock.time += 6
        a.renew()
        assert b.acquire() is None, "it renews in time"
    clock.time += 9.9
    assert b.acquire() is None
    clock.time += 0.2
    assert b.acquire() == 2
    with pytest.raises(Fenced):
        a.renew()
    a.release()
    b.renew()


def test_who_has_only_just_looked_waits_as_long_as_anyone(lease, clock):
    lease("a").acquire()
    clock.time += 1000
    b = lease("b")
    assert b.acquire() is None, "b has not seen it stand still"
    clock.time += 10
    assert b.acquire() == 2


def test_what_is_not_held_cannot_be_renewed(lease):
    with pytest.raises(Fenced):
        lease("a").renew()


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_jump_of_the_wall_clock_changes_nothing(lease, clock, jump):
    a, b = lease("a"), lease("b")
    a.acquire()
    assert b.acquire() is None
    clock.wall += jump
    a.renew()
    assert b.acquire() is None
    clock.time += 10
    assert b.acquire() == 2


def test_of_two_observers_of_a_dead_run_one_takes_over(open_stream, clock):
    run = open_stream("run/a")
    run.append(PlainRecord("run.started", {}), epoch=0)
    observers = [Watch(open_stream("run/a"), clock) for _ in range(2)]
    assert [o.takeover(30) for o in observers] == [None, None]
    clock.time += 31
    assert [o.takeover(30, Takeover(holder="silent")) for o in observers] == [1, None]
    assert observers[1].idle() == 0
    assert list(run.events())[-1].body == {"holder": "silent"}


def test_a_released_lease_that_another_took_in_between_is_not_taken_from_it(open_stream, clock):
    """b takes it after a has read that it is free, and before a appends."""

    class Interrupted:
        def __init__(self, stream, between):
            self._stream, self._between = stream, between

        def events(self):
            yield from self._stream.events()
            self._between()

        def __getattr__(self, name):
            return getattr(self._stream, name)

    first, b = (Lease(open_stream(), holder, clock, patience=10) for holder in "1b")
    first.acquire()
    first.release()
    a = Lease(Interrupted(open_stream(), b.acquire), "a", clock, patience=10)
    assert a.acquire() is None
    b.renew()
