"""Laws of streams: whatever is appended, sealed, taken over or tidied, by whichever of several writers, all read the one list."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import Conflict, Fenced, StreamSealed
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger, layout
from mlopsfw.operations.audit import audit
from mlopsfw_storage_object.local import LocalStorage

who = st.integers(0, 2)


class Streams(RuleBasedStateMachine):
    """Three writers of one stream with windows of three entries, and a plain list as the model of what they share."""

    @initialize()
    def begin(self):
        self.window, layout.WINDOW = layout.WINDOW, 3
        self.folder = tempfile.TemporaryDirectory()
        self.storage = LocalStorage(Path(self.folder.name))
        self.streams = [self.open() for _ in range(3)]
        self.model, self.epoch, self.ended = [], 0, False

    def open(self):
        return Ledger(self.storage, actor=lambda: "a", clock=SystemClock(), types=EventTypes()).stream("run/a")

    def teardown(self):
        if hasattr(self, "folder"):
            layout.WINDOW = self.window
            self.folder.cleanup()

    def attempt(self, act, *, allowed, refusal):
        """Do what the model allows; what it does not allow is refused with `refusal` and changes nothing."""
        if self.ended or not allowed:
            with pytest.raises((StreamSealed, refusal) if self.ended else refusal):
                act()
            return None
        return act()

    def note(self, event, value):
        if event is not None:
            assert (event.seq, event.epoch) == (len(self.model) + 1, self.epoch)
            self.model.append(value)

    @rule(who=who, value=st.integers())
    def append(self, who, value):
        self.note(
            self.attempt(
                lambda: self.streams[who].append(PlainRecord("a.b", {"v": value})), allowed=True, refusal=StreamSealed
            ),
            value,
        )

    @rule(who=who)
    def fold(self, who):
        count = len(list(self.streams[who].events()))
        event = self.attempt(
            lambda: self.streams[who].append(PlainRecord("a.b", {"v": count}), expecting=count),
            allowed=True,
            refusal=StreamSealed,
        )
        self.note(event, len(self.model))

    @rule(who=who, expecting=st.integers(0, 12), value=st.integers())
    def expect(self, who, expecting, value):
        right = expecting == len(self.model)
        act = lambda: self.streams[who].append(PlainRecord("a.b", {"v": value}), expecting=expecting)  # noqa: E731
        self.note(self.attempt(act, allowed=right, refusal=Conflict), value)

    @rule(who=who, epoch=st.integers(0, 3), value=st.integers())
    def fenced(self, who, epoch, value):
        act = lambda: self.streams[who].append(PlainRecord("a.b", {"v": value}), epoch=epoch)  # noqa: E731
        self.note(self.attempt(act, allowed=epoch == self.epoch, refusal=Fenced), value)

    @rule(who=who)
    def take_over(self, who):
        expecting = len(self.model)
        epoch = self.attempt(
            lambda: self.streams[who].takeover(expecting=expecting), allowed=True, refusal=StreamSealed
        )
        if epoch is not None:
            self.epoch += 1
            assert epoch == self.epoch
            self.model.append(-1)

    @precondition(lambda self: len(self.model) > 8)
    @rule(who=who)
    def seal(self, who):
        self.note(
            self.attempt(
                lambda: self.streams[who].seal(PlainRecord("a.z", {"v": None})), allowed=True, refusal=StreamSealed
            ),
            None,
        )
        self.ended = True

    @rule(who=who)
    def tidy(self, who):
        self.streams[who].tidy()

    @rule(who=who)
    def forget(self, who):
        self.streams[who] = self.open()

    @rule(who=who, after=st.integers(0, 12))
    def read(self, who, after):
        assert [e.body.get("v", -1) for e in self.streams[who].events(after)] == self.model[after:]
        assert self.streams[who].head() == len(self.model)

    @invariant()
    def the_chain_is_whole(self):
        if hasattr(self, "model"):
            found = list(audit(self.storage))
            assert [(s.entries, s.sealed, s.problems, s.leftovers) for s in found] == (
                [(len(self.model), self.ended, [], [])] if self.model else []
            )


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
