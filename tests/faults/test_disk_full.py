"""A full disk, a file-size limit, no descriptors left: a typed error, nothing half-visible, and work goes on once there is room."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import resource
import signal
from contextlib import contextmanager

import polars as pl
import pytest

import mlopsfw
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import StorageFull, StorageUnavailable
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.kernel.store.blobs import BlobStore
from mlopsfw.operations.audit import audit
from mlopsfw_storage_object.local import LocalStorage

pytestmark = [pytest.mark.faults, pytest.mark.disk]

SIZE = 1 << 20


@contextmanager
def small_disk(folder):
    """Mount a tmpfs of 1 MiB on `folder`; where that is not allowed, limit the size of files instead, to the same effect."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=1m,mode=0700") == 0:
        try:
            yield "mounted"
        finally:
            libc.umount2(os.fsencode(folder), 2)
    else:
        assert ctypes.get_errno() in (errno.EPERM, errno.EACCES, errno.ENOSYS)
        with limited(resource.RLIMIT_FSIZE, 100_000):
            yield "limited"


@contextmanager
def limited(what, soft):
    before, hard = resource.getrlimit(what)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(what, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (before, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def fill(sizes, store):
    for size in sizes:
        store(size)


def whole(storage, blobs):
    """Nothing that can be listed is half there."""
    assert [stream.problems for stream in audit(storage) if stream.problems] == []
    assert [entry.key for entry, found in blobs.verify() if not entry.key.endswith(found)] == []


@pytest.fixture(params=["full disk", "file-size limit"])
def cramped(request, tmp_path):
    if request.param == "full disk":
        with small_disk(tmp_path / "disk") as how:
            yield tmp_path / "disk" / "store", how
    else:
        with limited(resource.RLIMIT_FSIZE, 100_000):
            yield tmp_path / "store", "limited"


def test_a_full_disk_is_told_and_leaves_nothing_half_there_and_work_goes_on(cramped, tmp_path):
    root, how = cramped
    storage = LocalStorage(root)
    blobs = BlobStore(storage, tmp_path / "scratch", SystemClock())
    stream = Ledger(storage, actor=lambda: "a", clock=SystemClock(), types=EventTypes()).stream("run/a")
    stream.append(PlainRecord("a.b", {"n": 0}))
    stored = []
    sizes = itertools.repeat(60_000, 40) if how == "mounted" else range(60_000, 140_000, 2000)
    with pytest.raises(StorageFull, match="Make room"):
        fill(sizes, lambda size: stored.append(blobs.put(os.urandom(size))))
    padding = itertools.repeat(3000, 10_000) if how == "mounted" else [200_000]
    with pytest.raises(StorageFull):
        fill(padding, lambda size: stream.append(PlainRecord("a.b", {"padding": "x" * size})))
    assert list((root / ".tmp").iterdir()) == []
    whole(storage, blobs)
    head = stream.head()
    assert [e.seq for e in stream.events()] == list(range(1, head + 1))
    for digest in stored:
        storage.delete(f"objects/{digest[:2]}/{digest}")
    assert stream.append(PlainRecord("a.b", {"n": -1})).seq == head + 1, "the same process, the same objects"
    assert blobs.get(blobs.put(b"there is room again")) == b"there is room again"
    whole(storage, blobs)


def test_a_seal_that_finds_the_disk_full_is_finished_later(tmp_path, monkeypatch):
    storage = LocalStorage(tmp_path / "store")
    stream = Ledger(storage, actor=lambda: "a", clock=SystemClock(), types=EventTypes()).stream("run/a")
    stream.append(PlainRecord("a.b", {}))
    real = os.write

    def full(descriptor, data):
        if bytes(data[:100]).count(b'"seq":1,') and b"\n" in bytes(data):  # the segment
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert stream.seal(PlainRecord("run.finished", {})).final
    assert len(list(storage.list("ledger/"))) == 2
    assert stream.tidy()
    assert len(list(storage.list("ledger/"))) == 1


def test_without_descriptors_writes_and_reads_are_unavailable_and_come_back(tmp_path):
    storage = LocalStorage(tmp_path / "store")
    storage.put("k", b"v")
    held = []
    with limited(resource.RLIMIT_NOFILE, 64):
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE  # noqa: PT017
        for act in (
            lambda: storage.put("k", b"w"),
            lambda: storage.get("k"),
            lambda: list(storage.list()),
            lambda: storage.put_if_absent("new", b""),
        ):
            with pytest.raises(StorageUnavailable, match="ulimit"):
                act()
        for descriptor in held:
            os.close(descriptor)
        assert storage.get("k") == b"v"
        assert [e.key for e in storage.list()] == ["k"]
        storage.put("k", b"w")
    assert list((tmp_path / "store" / ".tmp").iterdir()) == []


WRITES = {
    "metric": lambda run, _model: run.log_metric("loss", 0.5),
    "parameter": lambda run, _model: run.log_param("rate", 0.1),
    "JSON": lambda run, _model: run.log_artifact({"a": 1}, "note"),
    "table": lambda run, _model: run.log_artifact(pl.DataFrame({"a": [1.0]}), "rows"),
    "figure": lambda run, _model: run.log_artifact(pytest.importorskip("PIL.Image").new("L", (8, 8)), "square"),
    "model": lambda run, model: run.log_model("net", model),
    "run": lambda run, _model: mlopsfw.start_run("another", project=run._project),
}


@pytest.mark.parametrize("what", WRITES)
def test_what_a_run_logs_on_a_full_disk_is_storage_full_and_is_kept_once_there_is_room(what, project, tmp_path):
    model = tmp_path / "net.onnx"
    model.write_bytes(b"graph")
    with mlopsfw.start_run("full", project=project) as run:
        with (
            limited(resource.RLIMIT_FSIZE, 0),
            pytest.raises(StorageFull, match=r"(?s)File too large.*(Make room|Free)"),
        ):
            WRITES[what](run, model)
        run.log_metric("after", 1.0)
    assert project.runs.get(run.id).status == "done"
    assert [metric.name for metric in project.runs.metrics(run.id)] == ["after"]


def test_autologging_says_that_the_disk_is_full_and_the_training_goes_on(project, capsys):
    linear = pytest.importorskip("sklearn.linear_model").LinearRegression()
    with mlopsfw.start_run("full", project=project), mlopsfw.autolog(), limited(resource.RLIMIT_FSIZE, 0):
        assert linear.fit([[0.0], [1.0]], [0.0, 1.0]).coef_ == pytest.approx([1.0])
    assert "StorageFull" in capsys.readouterr().err
