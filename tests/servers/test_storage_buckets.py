"""The bundled storage on real servers, one of S3 and one of Azure: the contract, races, the ledger, blobs, export and import, and a network that fails."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import polars as pl
import pytest

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import StorageError, StorageUnavailable, StreamSealed
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.kernel.ledger.layout import segment_key
from mlopsfw.kernel.store.blobs import BlobStore
from mlopsfw.operations.audit import audit
from mlopsfw.operations.transfer import transfer
from mlopsfw.testing.storage import StorageConformance
from mlopsfw_storage_object.local import LocalStorage
from mlopsfw_storage_object.remote import open_remote

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]


_numbers = itertools.count(1)


def open_bucket(server, bucket, **options):
    return open_remote(f"{bucket}/some/prefix", server.options, **({"attempts": 6, "budget": 30} | options))


@pytest.fixture(params=["s3_server", "azure_server"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def bucket(server):
    return server.make_bucket(f"storage-{next(_numbers)}")


@pytest.fixture
def storage(server, bucket):
    return open_bucket(server, bucket)


class TestBuckets(StorageConformance):
    @pytest.fixture
    def storage(self, server, bucket):
        return open_bucket(server, bucket)

    @pytest.fixture
    def reopened(self, server, bucket):
        return open_bucket(server, bucket)


def open_ledger(storage):
    return Ledger(storage, actor=lambda: "ada@here", clock=SystemClock(), types=EventTypes())


def test_a_stream_is_appended_to_sealed_and_audited(storage):
    stream = open_ledger(storage).stream("run/a")
    for n in range(40):
        stream.append(PlainRecord("a.b", {"n": n}))
    other = open_ledger(storage).stream("run/a")
    assert [e.body["n"] for e in other.events()] == list(range(40))
    stream.seal(PlainRecord("run.finished", {"n": 40}))
    assert [e.key for e in storage.list("ledger/")] == [segment_key("run/a", 1)]
    with pytest.raises(StreamSealed):
        other.append(PlainRecord("a.b", {}))
    assert [(s.entries, s.problems) for s in audit(storage)] == [(41, [])]


RACER = """
import sys, json
from contextlib import suppress
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw_storage_object.remote import open_remote
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
url, options, who = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
ledger = Ledger(open_remote(url, options, attempts=6, budget=60), actor=lambda: who, clock=SystemClock(), types=EventTypes())
mine = []
stream = ledger.stream("model/delay")
while len(mine) < 5:
    before = len(list(stream.events()))
    with suppress(Conflict):
        event = stream.append(PlainRecord("version.registered", {"version": before + 1, "who": who}), expecting=before)
        mine.append(event.body["version"])
print(json.dumps(mine))
"""


def test_16_processes_that_race_for_versions_get_each_number_once(server, bucket, storage):
    import json

    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, f"{bucket}/some/prefix", json.dumps(server.options), f"racer{who}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in range(16)
    ]
    got = [json.loads(racer.communicate()[0]) for racer in racers]
    assert sorted(version for versions in got for version in versions) == list(range(1, 81))
    stored = [(e.body["version"], e.body["who"]) for e in open_ledger(storage).stream("model/delay").events()]
    assert stored == [(n, f"racer{next(who for who, v in enumerate(got) if n in v)}") for n in range(1, 81)]


def test_blobs_and_folders_come_back(storage, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "large").write_bytes(os.urandom(12_000_000))
    (tmp_path / "folder" / "small").write_bytes(b"x")
    blobs = BlobStore(storage, tmp_path / "scratch", SystemClock())
    digest = blobs.put_folder(tmp_path / "folder")
    fresh = BlobStore(storage, tmp_path / "fresh", SystemClock())
    out = fresh.get_folder(digest, tmp_path / "out")
    for name in ("large", "small"):
        assert (out / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()


def test_a_project_goes_from_a_folder_to_a_bucket_and_back_byte_for_byte(server, storage, tmp_path):
    source, back = LocalStorage(tmp_path / "source"), LocalStorage(tmp_path / "back")
    blobs = BlobStore(source, tmp_path / "scratch", SystemClock())
    for run in range(5):
        stream = open_ledger(source).stream(f"run/{run}")
        for n in range(4):
            stream.append(PlainRecord("a.b", {"blob": blobs.put(b"%d of %d" % (n, run))}))
        if run % 2:
            stream.seal(PlainRecord("run.finished", {}))
    blobs.put(b"large" * 3_000_000)
    frame = pl.DataFrame({"x": [1, 2, 3]})
    for mode in ("overwrite", "append"):
        frame.write_delta(source.table_location("flights").uri, mode=mode)
    done = transfer(source, storage)
    assert (done.streams, done.events) == (5, 22)
    location = storage.table_location("flights")
    assert pl.scan_delta(location.uri, storage_options=dict(location.options)).collect().height == 6
    if server.appends:
        frame.write_delta(location.uri, mode="append", storage_options=dict(location.options))
    transfer(storage, back)
    assert pl.scan_delta(back.table_location("flights").uri).collect().height == (9 if server.appends else 6)
    for prefix in ("objects/", "ledger/"):
        here = {e.key: source.get(e.key) for e in source.list(prefix)}
        assert here == {e.key: storage.get(e.key) for e in storage.list(prefix)}
        assert here == {e.key: back.get(e.key) for e in back.list(prefix)}


@pytest.mark.parametrize("wrong", [0, 1])
def test_wrong_credentials_are_refused_at_once_and_not_shown(server, bucket, wrong):
    storage = open_remote(bucket, server.options | server.wrong[wrong], attempts=6, budget=30)
    with pytest.raises(StorageError) as caught:
        storage.put("k", b"")
    assert not isinstance(caught.value, StorageUnavailable)
    assert not any(value in str(caught.value) for value in ("wrong", "d3Jvbmc="))


# -- a network that fails ---------------------------------------------------------------------------------------------------------


@contextmanager
def failing_proxy(port, behave):
    """Pass connections on to `port`; `behave(number)` says of each: `pass`, `refuse`, `error`, `truncate`, `lose the answer`."""
    listener = socket.create_server(("127.0.0.1", 0))
    counted = []

    def handle(client):
        counted.append(how := behave(len(counted)))
        with client:
            if how == "refuse":
                return
            request = _read_request(client)
            if how == "error":
                client.sendall(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", port)) as server:
                server.sendall(request)
                answer = b"".join(iter(lambda: server.recv(65536), b""))
            if how != "lose the answer":
                client.sendall(answer[: len(answer) - 7] if how == "truncate" else answer)

    def accept():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], counted
    finally:
        listener.close()


def _read_request(client):
    data = b""
    while b"\r\n\r\n" not in data and (part := client.recv(65536)):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length and (part := client.recv(65536)):
        body += part
    return head.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nconnection: close\r\n", 1) + b"\r\n\r\n" + body


@contextmanager
def behind(server, bucket, behave, **options):
    with failing_proxy(server.port, behave) as (port, counted):
        through = type(server)(port).options
        yield open_remote(f"{bucket}/some/prefix", through, **({"attempts": 6, "budget": 30} | options)), counted


@pytest.mark.parametrize("fault", ["refuse", "error", "truncate"])
def test_passing_faults_are_outlasted_and_cost_few_requests(server, bucket, storage, fault):
    with behind(server, bucket, lambda n: fault if n % 3 else "pass") as (flaky, counted):
        for n in range(20):
            flaky.put(f"k{n}", b"%d" % n * 1000)
        assert [flaky.get(f"k{n}") for n in range(20)] == [b"%d" % n * 1000 for n in range(20)]
    assert [storage.get(f"k{n}") for n in range(20)] == [b"%d" % n * 1000 for n in range(20)]
    assert len(counted) <= 3 * 40 + 3, "amplification"


def test_a_store_that_stays_away_is_unavailable_within_the_budget(server, bucket):
    with behind(server, bucket, lambda n: "error", attempts=4) as (down, counted):
        with pytest.raises(StorageUnavailable, match="failed 4 times"):
            down.put("k", b"")
        assert len(counted) == 4


def test_appends_whose_answers_are_lost_happen_once(server, bucket, storage):
    with behind(server, bucket, lambda n: "lose the answer" if n % 3 == 1 else "pass") as (flaky, _):
        stream = open_ledger(flaky).stream("run/a")
        for n in range(20):
            stream.append(PlainRecord("a.b", {"n": n}))
    assert [e.body["n"] for e in open_ledger(storage).stream("run/a").events()] == list(range(20))
