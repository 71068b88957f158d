"""What a process does while it is killed, cut off or raced: registers versions, moves aliases, stores blobs, opens and seals runs.

Each acknowledged write is told to whoever checks: `acknowledge(kind, *facts)`. `anomalies` is the check; it trusts nothing but what a
fresh reader finds on the storage.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import Conflict, MlopsfwError, NotFound, StreamSealed
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger, layout
from mlopsfw.kernel.roles.storage import Storage
from mlopsfw.kernel.store.blobs import BlobStore, key_of
from mlopsfw.operations.audit import audit

Acknowledge = Callable[..., None]

MODELS = ("model/a", "model/b")
RUNS = tuple(f"run/shared{n}" for n in range(40))


def fold_version(events):
    return {"version": 1 + sum(e.type == "version.registered" for e in events)}


def fold_alias(events):
    moves = [e.body for e in events if e.type == "alias.moved"]
    versions = [e.body["version"] for e in events if e.type == "version.registered"]
    return {
        "alias": "champion",
        "version": versions[-1] if versions else 0,
        "was": moves[-1]["version"] if moves else None,
    }


class Worker:
    """One writer.

    Args:
        storage: Where it writes.
        scratch: A folder of its own.
        acknowledge: Told of each write that returned.
        seed: Decides what it does.
    """

    def __init__(self, storage: Storage, scratch: Path, acknowledge: Acknowledge, seed: int) -> None:
        self.ledger = Ledger(storage, actor=lambda: f"worker{seed}", clock=SystemClock(), types=EventTypes())
        self.blobs = BlobStore(storage, scratch, SystemClock())
        self.acknowledge, self.random = acknowledge, random.Random(seed)

    def work(self, rounds: int = 1_000_000) -> None:
        """Do something, again and again."""
        for _ in range(rounds):
            self.random.choice((self.register, self.register, self.move, self.store, self.run, self.shared_run))()

    def register(self) -> None:
        """Register a version."""
        self._append(self.random.choice(MODELS), "version.registered", fold_version)

    def move(self) -> None:
        """Move an alias."""
        self._append(self.random.choice(MODELS), "alias.moved", fold_alias)

    def store(self) -> None:
        """Store a blob and refer to it."""
        digest = self.blobs.put(self.random.randbytes(self.random.randrange(1, 3000)))
        self.acknowledge("blob", digest)
        self._append("project", "blob.named", lambda _: {"blob": digest})

    def run(self) -> None:
        """Begin a run of our own, and end it."""
        name = f"run/{os.urandom(6).hex()}"
        for n in range(3):
            self._append(name, "step.finished", lambda _, n=n: {"n": n})
        self._append(name, "run.finished", lambda _: {}, seal=True)

    def shared_run(self) -> None:
        """Write to a run that others write to, and seal it now and then."""
        with suppress(StreamSealed):
            self._append(self.random.choice(RUNS), "step.finished", lambda _: {}, seal=self.random.random() < 0.1)

    def _append(self, stream: str, kind: str, body, *, seal: bool = False) -> None:
        chain = self.ledger.stream(stream)
        event = None
        while event is None:
            events = list(chain.events())
            with suppress(Conflict):
                record = PlainRecord(kind, body(events))
                event = (chain.seal if seal else chain.append)(record, expecting=len(events))
        self.acknowledge("event", stream, event.seq, event.id)


def anomalies(storage: Storage, acknowledged: Iterable[tuple]) -> list[str]:
    """Return what is wrong: lost acknowledged writes, broken chains, gaps, dangling or wrongly moved aliases, half objects."""
    wrong = [problem for stream in audit(storage) for problem in stream.problems]
    if wrong:
        return wrong
    ledger = Ledger(storage, actor=lambda: "checker", clock=SystemClock(), types=EventTypes())
    events = {name: list(ledger.stream(name).events()) for name in ledger.streams()}
    for kind, *facts in acknowledged:
        if kind == "event":
            stream, seq, event_id = facts
            found = events.get(stream, [])
            if len(found) < seq or found[seq - 1].id != event_id:
                wrong.append(f"acknowledged {stream} #{seq} is lost")
        else:
            wrong += _blob(storage, facts[0], "acknowledged")
    for name in MODELS:
        wrong += _model(events.get(name, []))
    for event in events.get("project", []):
        wrong += _blob(storage, event.body["blob"], f"project #{event.seq}")
    wrong += [f"{name} goes on after its end" for name, found in events.items() if any(e.final for e in found[:-1])]
    return wrong


def _model(events) -> list[str]:
    wrong, versions, was = [], 0, None
    for event in events:
        if event.type == "version.registered":
            versions += 1
            if event.body["version"] != versions:
                wrong.append(f"{event.stream} #{event.seq} is version {event.body['version']}, not {versions}")
        elif event.type == "alias.moved":
            if event.body["was"] != was or event.body["version"] > versions:
                wrong.append(f"{event.stream} #{event.seq} moves {event.body}, but it was {was} of {versions}")
            was = event.body["version"]
    return wrong


def _blob(storage: Storage, digest: str, who: str) -> list[str]:
    try:
        data = storage.get(key_of(digest))
    except NotFound:
        return [f"{who} blob {digest} is lost"]
    except MlopsfwError as error:
        return [f"{who} blob {digest}: {error}"]
    return [] if sha256(data).hexdigest() == digest else [f"{who} blob {digest} is not whole"]


def small_windows() -> None:
    """Make segments of 8 entries, so that gathering them happens often."""
    layout.WINDOW = 8


def fork() -> int:
    """Fork. Newer Pythons warn where the parent has threads: pytest's own; our children touch nothing of theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
