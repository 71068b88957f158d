"""Sets of files that lose files: a vacuum frees what no kept version needs, an erasure leaves a subject's bytes in no file; killed anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from mlopsfw.data.datasets.loading import commits
from mlopsfw.data.filesets import adding as adding_module
from mlopsfw.data.filesets import index
from mlopsfw.governance.forget import STREAM
from mlopsfw.governance.subject import Subject
from mlopsfw.governance.text_search import files_with
from mlopsfw.kernel.base.errors import Erased, UnknownName, Vacuumed
from mlopsfw.kernel.component import released
from mlopsfw.kernel.config.model import Retention
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.store.blobs import key_of
from mlopsfw.operations import gc
from mlopsfw.operations.gc import collect
from mlopsfw.project.facade import Project

KEY = "ab" * 32
LAST = Retention(keep=1)
DAYS = 3 * 86_400
LARGE = bytes(range(256)) * 8192  # 2 MiB: a blob of its own
FACE = b"the-face-of-ann-0f3c"
FILES = {"faces/ann/1.png": FACE, "faces/ann/2.png": FACE + LARGE, "faces/bob/1.png": b"bob", "read.me": b"read me"}


def write(folder, files):
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def tree(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


PLAIN = "\n"
ENCRYPTED = '[storage]\nencrypt = "env:KEY"\ntables = "encrypted-disk"\n'


@pytest.fixture(params=[PLAIN, ENCRYPTED], ids=["plain", "encrypted"])
def project(request, bench, monkeypatch):
    monkeypatch.setenv("PII", KEY)
    monkeypatch.setenv("KEY", "cd" * 32)
    bench.write(request.param + '[privacy]\nkey = "env:PII"\n')
    with bench.open() as opened:
        yield opened


@pytest.fixture(autouse=True)
def later(monkeypatch):
    """Read as if an hour from now: files made a moment ago have settled."""
    real = adding_module.time.time_ns
    monkeypatch.setattr(adding_module.time, "time_ns", lambda: real() + 3600 * 10**9)


@pytest.fixture
def put(project, tmp_path):
    """Make exactly these files the next version of a set."""

    def put(files, name="s", **options):
        put.number += 1
        folder = tmp_path / f"in{put.number}"
        folder.mkdir()
        write(folder, files)
        return project.filesets.add(name, folder, **options)

    put.number = 0
    return put


def blobs(project):
    return {entry.key.rpartition("/")[2] for entry in project.storage.list("objects/")}


def age(project):
    """Make every blob three days older, as if nobody had stored it since, and a dead vacuum's list of deletions, too."""
    store = project.state / "store"
    for file in [*(store / "objects").rglob("*"), *(store / "gc").rglob("*")]:
        if file.is_file():
            then = file.stat().st_mtime - DAYS
            os.utime(file, (then, then))


def read(project, version, name="s"):
    files = project.filesets.open(project.datasets.resolve(f"data:/{name}@{version}"))
    return {row["path"]: data for row, data in (files[number] for number in range(len(files)))}


def healthy(project):
    with Project.open(project.root) as fresh:
        findings = [found for found in fresh.doctor.examine(verify=True) if found.level == "error"]
        assert not findings, findings
        for name in {version.name for version in fresh.datasets.newest()}:
            for version in fresh.datasets.log(name):
                if version.live:
                    fresh.filesets.open(version).verify()


def subject(text, column="path"):
    return Subject(column, text, bytes.fromhex(KEY))


# -- vacuum ----------------------------------------------------------------------------------------------------------------


def test_a_vacuum_frees_the_blobs_that_no_kept_version_needs(project, put, tmp_path):
    put(FILES)
    second = put({"faces/ann/1.png": FACE, "new": b"new"})
    age(project)
    before = sum(entry.size for entry in project.storage.list("objects/"))
    planned = project.version_removal.vacuum("s", LAST, dry_run=True)
    done = project.version_removal.vacuum("s", LAST)
    freed = before - sum(entry.size for entry in project.storage.list("objects/"))
    assert (done.versions, done.waiting, planned.freed) == ((1,), 0, done.freed)
    assert done.freed >= freed > len(LARGE)  # the first version's table is counted, too
    assert read(project, 2) == {"faces/ann/1.png": FACE, "new": b"new"}
    assert index.locations(index.of_version(project.blobs, second)).keys() == set(
        project.filesets.open(second).table["digest"]
    )
    with pytest.raises(Vacuumed):
        read(project, 1)
    healthy(project)
    assert (project.version_removal.vacuum("s", LAST).versions, collect(project.storage, project.ledger, released=released(project.components), grace=0, vault=project.vault).deleted) == ((), [])  # fmt: skip


def test_a_tag_keeps_the_bytes_and_a_version_of_an_append_those_of_what_it_kept(project, put):
    put({"a": b"a"})
    put({"b": b"b"}, append=True)
    put({"a": b"other"}, append=True)
    put({"c": b"c"})
    project.datasets.tag("s", "golden", 1)
    age(project)
    assert project.version_removal.vacuum("s", LAST).versions == (2, 3)
    assert (read(project, 1), read(project, 4)) == ({"a": b"a"}, {"c": b"c"})
    healthy(project)


def test_what_another_set_or_a_value_has_stays(project, put):
    same = {"a": b"a" * 100, "large": LARGE}
    put(same)
    put({"b": b"b"})
    put(same, name="other")
    put(same, name="third")
    put({"b": b"b"}, name="third")
    value = project.blobs.put(b"a value of the very bytes of a shared blob")
    put({"v": b"a value of the very bytes of a shared blob"})
    put({"b": b"b"})
    project.ledger.stream("notes/x").append(PlainRecord("noted", {"blob": value}))
    age(project)
    assert project.version_removal.vacuum("s", LAST).versions == (1, 2, 3)
    assert project.version_removal.vacuum("third", LAST).versions == (1,)
    assert read(project, 1, "other") == same
    assert project.blobs.get(value)
    healthy(project)


def test_a_blob_that_was_stored_of_late_waits_for_gc(project, put):
    put(FILES)
    put({"b": b"b"})
    done = project.version_removal.vacuum("s", LAST)
    assert (done.versions, done.files) == ((1,), 1)
    assert done.waiting > len(LARGE)
    age(project)
    assert project.version_removal.vacuum("s", LAST).versions == ()
    assert len(blobs(project)) == 5  # two manifests, the newest version's index, its segment and blob
    healthy(project)


def test_gc_takes_what_a_vacuum_left_and_the_index_not_before_the_bytes(project, put):
    first = put(FILES)
    put({"b": b"b"})
    project.version_removal.vacuum("s", LAST)
    old = key_of(first.index)
    file = project.state / "store" / old
    os.utime(file, (0, 0))
    assert (
        collect(project.storage, project.ledger, released=released(project.components), vault=project.vault).deleted
        == []
    )
    age(project), age(project), age(project)
    assert (
        first.index
        in collect(project.storage, project.ledger, released=released(project.components), vault=project.vault).deleted
    )
    assert read(project, 2) == {"b": b"b"}
    healthy(project)


def test_an_addition_that_relied_on_bytes_that_a_vacuum_took_stores_them_again(
    project, put, bench, tmp_path, monkeypatch
):
    put(FILES)
    write(tmp_path / "again", FILES)
    real = commits.Commit.make

    def late(*args, **options):
        monkeypatch.setattr(commits.Commit, "make", real)
        with bench.open() as other:
            write(tmp_path / "b", {"b": b"b"})
            other.filesets.add("s", tmp_path / "b")
            age(project)
            assert other.version_removal.vacuum("s", LAST).versions == (1,)
        return real(*args, **options)

    monkeypatch.setattr(commits.Commit, "make", late)
    assert project.filesets.add("s", tmp_path / "again").version == 3
    assert read(project, 3) == FILES
    healthy(project)


KILLED = """
import os, signal, sys
from pathlib import Path
from mlopsfw.kernel.config.model import Retention
from mlopsfw.governance.subject import Subject
from mlopsfw.project.facade import Project
project = Project.open(Path(sys.argv[1]))
left = [int(sys.argv[3])]
def mortal(call):
    def called(*args, **options):
        left[0] -= 1
        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return called
for name in ("fsync", "link", "replace", "rename", "unlink"): setattr(os, name, mortal(getattr(os, name)))
if sys.argv[2] == "vacuum": project.version_removal.vacuum("s", Retention(keep=1))
else: project.erasures.forget("s", Subject("path", "faces/ann/*", bytes.fromhex("ab" * 32)))
"""


def killed(project, what, calls, check):
    """Kill at one call after another; return how often."""
    kills = 0
    for call in calls:
        command = [sys.executable, "-c", KILLED, str(project.root), what, str(call)]
        child = subprocess.run(command, check=False, env=os.environ)
        check()
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL
        kills += 1
    return kills


@pytest.mark.faults
@pytest.mark.parametrize("project", [PLAIN], ids=["plain"], indirect=True)
def test_kill_9_at_any_operation_of_a_vacuum_leaves_what_is_kept_whole(project, put):
    put(FILES)
    put({"faces/ann/1.png": FACE, "b": b"b"})
    age(project)

    def check():
        with Project.open(project.root) as fresh:
            assert read(fresh, 2) == {"faces/ann/1.png": FACE, "b": b"b"}

    assert killed(project, "vacuum", range(60), check) >= 6
    with Project.open(project.root) as fresh:
        age(fresh)
        assert fresh.version_removal.vacuum("s", LAST).versions == ()
        listing = index.reachable(fresh.datasets.resolve("data:/s").index, fresh.blobs)
        assert len(blobs(fresh)) == 3 + len(listing.blobs) + len(listing.segments)  # two manifests and the index
    healthy(project)


# -- erasure ---------------------------------------------------------------------------------------------------------------


def stored(project):
    """Return every stored blob's plaintext."""
    return [project.blobs.get(digest) for digest in blobs(project)]


def test_a_subjects_files_are_in_no_version_and_no_file_and_the_rest_is_read_on(project, put, tmp_path):
    put(FILES)
    put({**FILES, "faces/ann/3.png": b"more of " + FACE})
    put({"read.me": b"read me"})
    put({"c": b"c"}, append=True)
    left = {path: data for path, data in FILES.items() if "ann" not in path}
    assert any(FACE in data for data in stored(project))
    assert files_with(project.state, ["faces/ann/1.png"])
    done = project.erasures.forget("s", subject("faces/ann/*"))
    assert (done.held["datasets"], done.held["elsewhere"], done.remaining) == ({"s": {1: 2, 2: 3}}, {}, [])
    assert not any(FACE in data for data in stored(project))
    assert not files_with(project.state, ["faces/ann/1.png", FACE.decode()])
    assert not [file for file in project.state.rglob("*") if file.is_file() and FACE in file.read_bytes()]
    assert [read(project, version) for version in (1, 2, 3, 4)] == [left, left, {"read.me": b"read me"}, {"read.me": b"read me", "c": b"c"}]  # fmt: skip
    project.filesets.open(project.datasets.resolve("data:/s@1")).get(tmp_path / "out")
    assert tree(tmp_path / "out") == left
    healthy(project)
    collect(project.storage, project.ledger, released=released(project.components), grace=0, vault=project.vault)
    healthy(project)


def test_the_versions_and_the_ledger_tell_that_files_were_erased_and_not_which(project, put):
    first = put(FILES)
    project.erasures.forget("s", subject("faces/ann/*"))
    again = project.datasets.resolve("data:/s@1")
    assert (again.rows, again.erased_rows, again.erased) == (2, 2, (first.digest,))
    with pytest.raises(UnknownName) as caught:
        project.filesets.open(again).read("faces/ann/1.png")
    assert "2 of its files were erased" in caught.value.hint
    with pytest.raises(Erased):
        project.datasets.resolve(first.artifact())
    with pytest.raises(Erased):
        project.blobs.get(first.index)
    assert [event.type for event in project.ledger.stream(STREAM).events()] == ["erasure.begun", "erasure.done"]
    text = b"".join(project.storage.get(entry.key) for entry in project.storage.list("ledger/"))
    assert b"faces" not in text


def test_bytes_that_another_path_holds_stay_and_are_named_and_go_by_their_digest(project, put):
    put({"faces/ann/1.png": FACE, "faces/ann/none": b"", "all/7.png": FACE, "empty": b""})
    done = project.erasures.forget("s", subject("faces/ann/*"))
    assert done.held["elsewhere"] == {"s": ["all/7.png", "empty"]}
    assert read(project, 1) == {"all/7.png": FACE, "empty": b""}
    (row,) = project.filesets.open(project.datasets.resolve("data:/s")).table.filter(path="all/7.png").to_dicts()
    assert project.erasures.forget("s", subject(row["digest"], "digest")).held["datasets"] == {"s": {1: 1}}
    assert not any(FACE in data for data in stored(project))
    assert read(project, 1) == {"empty": b""}
    healthy(project)


def test_a_path_means_itself_and_an_addition_afterwards_is_whole(project, put):
    put(FILES)
    assert project.erasures.forget("s", subject("faces/ann/1.pn?"), dry_run=True).held["datasets"] == {"s": {1: 1}}
    assert project.erasures.forget("s", subject("faces/ann/1.png")).held["datasets"] == {"s": {1: 1}}
    assert project.erasures.forget("s", subject("faces.bob.1.png")).held["datasets"] == {}
    assert put(FILES).version == 2
    assert read(project, 2) == FILES
    healthy(project)


def test_another_set_of_the_very_files_keeps_them(project, put):
    put(FILES)
    put(FILES, name="other")
    project.erasures.forget("s", subject("faces/ann/*"))
    assert read(project, 1, "other") == FILES
    healthy(project)


def test_bytes_that_a_vacuum_left_go_at_once(project, put):
    put(FILES)
    put({"read.me": b"read me"})
    assert project.version_removal.vacuum("s", LAST).waiting
    project.erasures.forget("s", subject("faces/ann/*"))
    assert not any(FACE in data for data in stored(project))
    assert read(project, 2) == {"read.me": b"read me"}
    healthy(project)


@pytest.mark.parametrize("name", ["s", "other"])
def test_an_addition_that_relied_on_bytes_that_were_erased_stores_them_again(project, put, tmp_path, monkeypatch, name):
    put(FILES)
    write(tmp_path / "again", {**FILES, "zzz": b"the same shared blob, but for this"} if name == "s" else FILES)
    real = commits.Commit.make

    def late(*args, **options):
        monkeypatch.setattr(commits.Commit, "make", real)
        with Project.open(project.root) as other:
            other.erasures.forget("s", subject("faces/ann/*"))
        return real(*args, **options)

    monkeypatch.setattr(commits.Commit, "make", late)
    version = project.filesets.add(name, tmp_path / "again")
    assert read(project, version.version, name) == tree(tmp_path / "again")
    healthy(project)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("project", [PLAIN], ids=["plain"], indirect=True)
def test_kill_9_at_any_operation_of_an_erasure_loses_nothing_else_and_the_next_finishes_it(project, put):
    put(FILES)
    put({"b": b"b", "read.me": b"read me"}, append=True)
    left = {path: data for path, data in FILES.items() if "ann" not in path}

    def check():
        with Project.open(project.root) as fresh:
            assert left.items() <= read(fresh, 1).items()
            assert {**left, "b": b"b"}.items() <= read(fresh, 2).items()

    assert killed(project, "forget", (0, 3, 9, 14, 20, 26, 32, 38, 44, 52, 60, 70), check) >= 8
    with Project.open(project.root) as fresh:
        fresh.erasures.forget("s", subject("faces/ann/*"))
        assert (read(fresh, 1), read(fresh, 2)) == (left, {**left, "b": b"b"})
        assert not any(FACE in data for data in stored(fresh))
        assert not files_with(fresh.state, ["faces/ann/1.png", FACE.decode()])
    healthy(project)


@pytest.mark.parametrize("project", [PLAIN], ids=["plain"], indirect=True)
def test_additions_erasures_and_vacuums_at_once_lose_nothing(project, tmp_path):
    failures = []

    def write_on(name):
        try:
            with Project.open(project.root) as mine:
                for number in range(6):
                    write(tmp_path / name, {f"{name}/{number}": b"%d" % number, "faces/ann/x": b"%d" % number})
                    mine.filesets.add("s", tmp_path / name, append=True)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=write_on, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with Project.open(project.root) as mine:
            if mine.datasets.history("s").versions:
                mine.erasures.forget("s", subject("faces/ann/*"))
                mine.version_removal.vacuum("s", LAST)
    assert failures == []
    project.erasures.forget("s", subject("faces/ann/*"))
    latest = project.datasets.resolve("data:/s").version
    assert read(project, latest) == {f"{name}/{n}": b"%d" % n for name in ("one", "two") for n in range(6)}
    healthy(project)


# -- the index -------------------------------------------------------------------------------------------------------------


def snapshot(project):
    return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in project.state.rglob("*") if file.is_file()}


@pytest.mark.parametrize("append", [False, True])
def test_the_same_folder_again_writes_nothing_at_all(project, tmp_path, append):
    write(tmp_path / "in", FILES)
    project.filesets.add("s", tmp_path / "in", append=append)
    project.filesets.add("s", tmp_path / "in", append=append)
    before = snapshot(project)
    with Project.open(project.root) as fresh:
        assert not fresh.filesets.add("s", tmp_path / "in", append=append).new
    assert snapshot(project) == before


def test_a_folder_that_was_appended_and_now_replaces_is_not_taken_for_unchanged(project, put, tmp_path):
    put({"a": b"a"})
    write(tmp_path / "in", {"b": b"b"})
    project.filesets.add("s", tmp_path / "in", append=True)
    assert project.filesets.add("s", tmp_path / "in").version == 3
    assert read(project, 3) == {"b": b"b"}


def test_what_an_addition_stores_of_the_index_grows_with_what_is_new_and_segments_stay_few(project, tmp_path):
    folder = tmp_path / "in"
    write(folder, {f"first/{number}": b"%d" % number for number in range(2000)})
    (first,) = index.reachable(project.filesets.add("s", folder).index, project.blobs).segments
    whole = len(project.blobs.get(first))
    for number in range(30):
        before = blobs(project)
        write(folder, {f"more/{number}": b"more %d" % number})
        version = project.filesets.add("s", folder)
        listing = index.reachable(version.index, project.blobs)
        assert first in listing.segments
        assert len(listing.segments) <= 8
        assert sum(len(project.blobs.get(each)) for each in (blobs(project) - before) & {*listing.segments, version.index}) < whole / 10  # fmt: skip
    assert len(read(project, version.version)) == 2030


# -- the collector ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", range(0, 70, 7))
def test_an_index_of_any_size_is_searched_to_its_end(project, shift, monkeypatch):
    monkeypatch.setattr(gc, "_PIECE", 1 << 10)
    named = [project.blobs.put(b"%d" % number) for number in range(60)]
    listed = project.blobs.put(("[" + " " * shift + ",".join(f'"{digest}"' for digest in named) + "]").encode())
    project.ledger.stream("notes/x").append(PlainRecord("noted", {"blob": listed}))
    assert (
        collect(
            project.storage, project.ledger, released=released(project.components), grace=0, vault=project.vault
        ).deleted
        == []
    )
    for digest in named:
        project.blobs.get(digest)
