"""kill -9 in the middle of writes, by night 1,000 times and on a push 100: acknowledged means durable, and nothing that is there is half there.

Most kills strike a forked child at its n-th call that changes the disk, before or after the call; `strace` strikes some more at any
system call at all. What the children wrote before they died lies there for those that come after them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsfw_storage_object.local import LocalStorage

from workload import Worker, anomalies, fork  # isort: skip

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

CALLS = ("open", "write", "fsync", "close", "link", "replace", "unlink", "mkdir")
KILLS = [100, pytest.param(1000, marks=pytest.mark.nightly)]
TOGETHER = 2


@pytest.fixture(autouse=True)
def windows(monkeypatch):
    monkeypatch.setattr("mlopsfw.kernel.ledger.layout.WINDOW", 8)


def die_at(call_number, *, after):
    """Replace this process's calls that change the disk: the n-th is its last."""
    left = [call_number]

    def mortal(call):
        def called(*args, **options):
            left[0] -= 1
            if left[0] <= 0 and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*args, **options)
            finally:
                if left[0] <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        return called

    for name in CALLS:
        setattr(os, name, mortal(getattr(os, name)))


def child(root, pipe, seed):
    """Fork a writer that dies at a random call; what it acknowledged goes into `pipe`."""
    pid = fork()
    if pid:
        return pid
    try:
        write, rng = os.write, random.Random(seed)
        storage = LocalStorage(root / "store")
        worker = Worker(storage, root / "scratch", lambda *ack: write(pipe, json.dumps(ack).encode() + b"\n"), seed)
        die_at(rng.randrange(1, 120), after=rng.random() < 0.5)
        worker.work()
    finally:
        os._exit(1)  # only a kill is expected


@pytest.mark.parametrize("kills", KILLS)
def test_kills_between_calls_lose_no_acknowledged_write(tmp_path, kills):
    acknowledged, killed = [], 0
    for seed in range(0, kills, TOGETHER):
        reader, writer = os.pipe()
        pids = [child(tmp_path, writer, seed + n) for n in range(TOGETHER)]
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            fresh = [tuple(json.loads(line)) for line in pipe]
        killed += sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL for pid in pids)
        acknowledged += fresh
        if seed % 100 == 0 or seed == kills - TOGETHER:
            assert anomalies(LocalStorage(tmp_path / "store"), acknowledged) == []
    assert killed == kills
    assert len(acknowledged) > kills
    assert anomalies(LocalStorage(tmp_path / "store"), acknowledged) == []


STRACED = """
import ctypes, json, os, sys, pathlib
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER: strace is not our parent
sys.path.insert(0, sys.argv[1])
from workload import Worker, small_windows
from mlopsfw_storage_object.local import LocalStorage
small_windows()
root = pathlib.Path(sys.argv[2])
worker = Worker(LocalStorage(root / "store"), root / "scratch", lambda *ack: os.write(1, json.dumps(ack).encode() + b"\\n"), int(sys.argv[3]))
os.write(1, b"ready\\n")
sys.stdin.read()
worker.work(rounds=300)
"""
STRUCK = ("openat", "write", "fsync", "close", "link", "unlink", "mkdir", "newfstatat", "pread64")
STRUCK_BY_STRACE = [len(STRUCK), pytest.param(40, marks=pytest.mark.nightly)]


def strike(tmp_path, seed):
    """Run a writer that strace kills at its n-th call of one kind; return whether it was, and what it acknowledged."""
    rng = random.Random(seed)
    command = [sys.executable, "-c", STRACED, str(Path(__file__).parent), str(tmp_path), str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        call = STRUCK[seed % len(STRUCK)]
        inject = f"inject={call}:signal=KILL:when={rng.randrange(1, 20 if call == 'mkdir' else 120)}"
        trace = ["strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", inject, "-p", str(writer.pid)]
        with subprocess.Popen(trace, stderr=subprocess.PIPE) as tracer:
            assert b"attached" in tracer.stderr.readline()
            out, _ = writer.communicate(timeout=60)  # it begins when its input ends
    return writer.returncode == -signal.SIGKILL, [tuple(json.loads(line)) for line in out.split(b"\n")[:-1]]


@pytest.mark.parametrize("kills", STRUCK_BY_STRACE)
def test_kills_at_any_system_call_lose_no_acknowledged_write(tmp_path, kills):
    """strace kills the writer from outside, in the middle of a system call of any kind that it makes."""
    assert shutil.which("strace"), "run: apt-get install strace"
    killed, acknowledged = 0, []
    for seed in range(kills):
        struck, reported = strike(tmp_path, seed)
        killed += struck
        acknowledged += reported
    assert killed == kills
    assert len(acknowledged) > kills
    assert anomalies(LocalStorage(tmp_path / "store"), acknowledged) == []
