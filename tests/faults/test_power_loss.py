"""Power loss between any two system calls: what was acknowledged is there, what was not is absent or whole.

And the check itself is checked: without either fsync, or without the order of the two, it finds losses.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from powerloss import Disk, Recorder
from workload import Worker, anomalies

from mlopsfw_storage_object import durable
from mlopsfw_storage_object.local import LocalStorage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def windows(monkeypatch):
    monkeypatch.setattr("mlopsfw.kernel.ledger.layout.WINDOW", 8)


def record(root, seed):
    """Return the trace of a writer's work in the folder `root`."""
    root.mkdir()
    with Recorder(root) as recorder:
        Worker(LocalStorage(root / "store"), root.parent / "scratch", recorder.acknowledge, seed).work(rounds=25)
    return recorder.trace


def lost(trace, folder, *, states, seed=0):
    """Lose power at `states` points of a trace; return what is wrong in any of them."""
    rng, wrong = random.Random(seed), []
    for number in range(states):
        end = rng.randrange(1, len(trace) + 1)
        disk, acknowledged = Disk(), []
        for call, *args in trace[:end]:
            acknowledged.append(args[0]) if call == "ack" else disk.do(call, *args)
        found = folder / str(number)
        disk.lose_power(found, rng)
        wrong += anomalies(LocalStorage(found / "store"), acknowledged)
    return wrong


STATES = [pytest.param(100, id="push"), pytest.param(1000, id="nightly", marks=pytest.mark.nightly)]


@pytest.mark.parametrize("count", STATES)
@pytest.mark.parametrize("seed", range(4))
def test_no_acknowledged_write_is_lost_and_nothing_is_half_there(tmp_path, seed, count):
    trace = record(tmp_path / "recorded", seed)
    assert sum(call == "ack" for call, *_ in trace) > 25
    states = tmp_path / "states"
    states.mkdir()
    assert lost(trace, states, states=count, seed=seed) == []


def names_before_content(monkeypatch):
    def write_late(path, data):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        late[path] = data

    def publish(temporary, path):
        os.link(temporary, path)
        descriptor = os.open(path, os.O_WRONLY)
        durable.fill(descriptor, late.pop(temporary))
        os.fsync(descriptor)
        os.close(descriptor)
        Path(temporary).unlink()
        return True

    late: dict[str, bytes | Path] = {}
    monkeypatch.setattr(durable, "write_temporary", write_late)
    monkeypatch.setattr(durable, "publish", publish)
    monkeypatch.setattr(durable, "replace", publish)


@pytest.mark.parametrize("removed", ["fsync of files", "fsync of folders", "fsync of new folders' parents", "order"])
def test_the_check_notices_what_is_taken_out(tmp_path, monkeypatch, removed):
    real = durable.flush_folder
    if removed == "fsync of files":
        monkeypatch.setattr(durable, "flush", lambda descriptor: None)
        monkeypatch.setattr(durable, "flush_folder", fsync_folder)
    elif removed == "fsync of folders":
        monkeypatch.setattr(durable, "flush_folder", lambda path: None)
    elif removed == "fsync of new folders' parents":
        monkeypatch.setattr(durable, "flush_folder", lambda path: _has_files(path) and real(path))
    else:
        names_before_content(monkeypatch)
    trace = record(tmp_path / "recorded", 0)
    states = tmp_path / "states"
    states.mkdir()
    assert lost(trace, states, states=100) != []


def fsync_folder(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _has_files(path):
    return any(entry.is_file() for entry in Path(path).iterdir())
