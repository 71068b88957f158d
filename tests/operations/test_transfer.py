"""Export and import: byte for byte, resumable, never over another history, and back again."""

from __future__ import annotations

import contextlib
import os
import socket

import polars as pl
import pytest

from mlopsfw.cli import run as mlopsfw
from mlopsfw.governance.actors import Actors
from mlopsfw.governance.texts import Texts
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import ChainBroken, Conflict, Corrupt, StorageError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.kernel.ledger.layout import entry_key
from mlopsfw.kernel.store.blobs import BlobStore, key_of
from mlopsfw.operations import transfer as transfer_module
from mlopsfw.operations.transfer import transfer
from mlopsfw_storage_object.local import LocalStorage
from mlopsfw_storage_object.remote import open_remote


@pytest.fixture
def source(tmp_path):
    storage = LocalStorage(tmp_path / "source")
    populate(storage, tmp_path)
    return storage


@pytest.fixture(params=["folder", "object store"])
def target(request, tmp_path):
    return (
        LocalStorage(tmp_path / "target")
        if request.param == "folder"
        else open_remote("memory:///", {}, attempts=2, budget=5)
    )


def open_ledger(storage):
    return Ledger(storage, actor=lambda: "ada@here", clock=SystemClock(), types=EventTypes())


def populate(storage, tmp_path):
    ledger, blobs = open_ledger(storage), BlobStore(storage, tmp_path / "scratch", SystemClock())
    for run in ("a", "b"):
        for n in range(3):
            ledger.stream(f"run/{run}").append(PlainRecord("a.b", {"blob": blobs.put(b"%d of " % n + run.encode())}))
    ledger.stream("run/a").seal(PlainRecord("run.finished", {}))
    frame = pl.DataFrame({"x": [1, 2, 3]})
    for mode in ("overwrite", "append"):
        frame.write_delta(storage.table_location("flights").uri, mode=mode)


def contents(storage):
    return {entry.key: storage.get(entry.key) for entry in storage.list() if not entry.key.startswith("gc/")}


def test_the_copy_is_the_same_byte_for_byte_and_goes_back_again(source, target, tmp_path):
    done = transfer(source, target)
    assert contents(target) == contents(source)
    assert (done.streams, done.events, done.copied) == (2, 7, len(contents(source)))
    back = LocalStorage(tmp_path / "back")
    transfer(target, back)
    assert contents(back) == contents(source)
    assert pl.scan_delta(back.table_location("flights").uri).collect().height == 6
    assert [e.seq for e in open_ledger(back).stream("run/a").events()] == [1, 2, 3, 4]


def test_a_second_copy_copies_what_is_new(source, target, tmp_path):
    transfer(source, target)
    assert transfer(source, target).copied == 0
    open_ledger(source).stream("run/b").append(PlainRecord("a.b", {}))
    assert transfer(source, target).copied == 1
    open_ledger(source).stream("run/b").seal(PlainRecord("run.finished", {}))
    transfer(source, target)
    assert contents(target) == contents(source)


def test_a_large_blob_goes_by_way_of_a_file(source, target, tmp_path, monkeypatch):
    monkeypatch.setattr("mlopsfw.operations.transfer._WHOLE", 1000)
    BlobStore(source, tmp_path / "scratch", SystemClock()).put(b"x" * 12_345)
    transfer(source, target)
    assert contents(target) == contents(source)


def test_another_projects_history_is_not_written_over(source, target):
    open_ledger(target).stream("run/b").append(PlainRecord("a.b", {"mine": True}))
    before = contents(target)
    with pytest.raises(Conflict, match="run/b"):
        transfer(source, target)
    assert contents(target) == before


def test_a_copy_that_has_gone_its_own_way_is_not_written_over(source, target):
    transfer(source, target)
    open_ledger(target).stream("run/b").append(PlainRecord("a.b", {"mine": True}))
    open_ledger(source).stream("run/b").seal(PlainRecord("run.finished", {"theirs": True}))
    before = contents(target)
    with pytest.raises(Conflict, match="run/b"):
        transfer(source, target)
    assert contents(target) == before


def test_a_rotten_blob_is_not_copied(source, target):
    key = next(source.list("objects/")).key
    source.put(key, b"rotten")
    with pytest.raises(Corrupt, match=key):
        transfer(source, target)


def test_a_broken_chain_is_not_copied_in_silence(source, target):
    source.put(entry_key("run/b", 2), source.get(entry_key("run/b", 3)))
    with pytest.raises(ChainBroken):
        transfer(source, target)
    assert list(target.list()) == []


def test_a_rotten_blob_is_healed_from_a_copy(source, target, tmp_path):
    transfer(source, target)
    key = next(target.list("objects/")).key
    data = target.get(key)
    target.put(key, bytes([data[0] ^ 1]) + data[1:])
    assert transfer(source, target).copied == 0, "nobody looked"
    assert transfer(source, target, heal=True).copied == 1
    assert target.get(key) == data
    assert key == key_of(key.rpartition("/")[2])


def test_a_project_at_work_is_copied_as_of_a_moment(source, target, tmp_path, monkeypatch):
    """Entries are sealed away between the listing and the reading."""
    real = source.list

    def seal_after_listing(prefix="", **options):
        entries = list(real(prefix, **options))
        if prefix == "ledger/" and not sealed:
            sealed.append(open_ledger(source).stream("run/b").seal(PlainRecord("run.finished", {})))
        return iter(entries)

    sealed = []
    monkeypatch.setattr(source, "list", seal_after_listing)
    transfer(source, target)
    assert contents(target) == contents(source)


def test_a_folder_to_copy_to_or_from_is_named_as_on_any_command_line(project, tmp_path, monkeypatch, capsys):
    project.ledger.stream("run/a").append(PlainRecord("a.b", {"blob": project.blobs.put(b"x")}))
    monkeypatch.chdir(tmp_path)
    assert mlopsfw(["--project", str(project.root), "export", "a copy"]) == 0
    assert LocalStorage(tmp_path / "a copy").get(entry_key("run/a", 1))
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlopsfw.toml").write_text('[project]\nname = "other"\n')
    assert mlopsfw(["--project", str(other), "import", "a copy"]) == 0
    assert "its hash chains are intact" in capsys.readouterr().out


def test_a_folder_without_a_project_is_not_imported_in_silence(project, tmp_path, capsys):
    assert mlopsfw(["--project", str(project.root), "import", str(tmp_path / "nothing")]) == 1
    assert "holds no project" in capsys.readouterr().err


def plant(what, place, elsewhere):
    """Put something into a store that no store holds."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if what == "a link to a file":
        place.symlink_to(elsewhere / "secret")
    elif what == "a link to a folder":
        place.symlink_to(elsewhere)
    elif what == "a link to nothing":
        place.symlink_to(elsewhere / "nowhere")
    elif what == "a link by way of a link":
        (place.parent / "first").symlink_to(elsewhere)
        place.symlink_to(place.parent / "first" / "secret")
    elif what == "a hard link":
        os.link(elsewhere / "secret", place)
    elif what == "a pipe":
        os.mkfifo(place)
    elif what == "a socket":
        with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(place.parent):
            listener.bind(place.name)
    else:
        place.write_bytes(b"x")


@pytest.mark.parametrize(
    "where", ["tables/t/part.parquet", "tables/t/_delta_log/0.json", "objects/ab/x", "ledger/x", "keys/ring-1", "other"]
)
@pytest.mark.parametrize(
    "what",
    [
        "a link to a file",
        "a link to a folder",
        "a link to nothing",
        "a link by way of a link",
        "a hard link",
        "a pipe",
        "a socket",
    ],
)
def test_a_folder_that_holds_what_no_store_holds_is_refused_whole(tmp_path, what, where):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_bytes(b"root:x:0:0")
    source, target = LocalStorage(tmp_path / "source"), LocalStorage(tmp_path / "target")
    populate(source, tmp_path)
    plant(what, tmp_path / "source" / where, tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"link|pipe"):
        transfer(source, target)
    assert list(target.list()) == []
    assert not any(path.is_file() for path in (tmp_path / "target").rglob("*"))


def test_a_file_that_becomes_a_link_after_the_folder_was_looked_at_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "secret").write_bytes(b"root:x:0:0")
    source, target = LocalStorage(tmp_path / "source"), LocalStorage(tmp_path / "target")
    source.put("tables/t/part.parquet", b"rows")
    checked = transfer_module._check_members

    def swap(storage):
        checked(storage)
        (tmp_path / "source/tables/t/part.parquet").unlink()
        (tmp_path / "source/tables/t/part.parquet").symlink_to(tmp_path / "secret")

    monkeypatch.setattr(transfer_module, "_check_members", swap)
    with pytest.raises(StorageError, match="a link"):
        transfer(source, target)
    assert list(target.list("tables/")) == []


def test_a_projects_own_storage_may_hold_a_second_name_of_a_file(tmp_path, source):
    first = next(path for path in (tmp_path / "source/tables").rglob("*.parquet"))
    os.link(first, first.with_name("again.parquet"))
    target = LocalStorage(tmp_path / "target")
    transfer(source, target, own=True)
    assert contents(target) == contents(source)


def test_the_verb_refuses_a_link_and_says_which(project, tmp_path, capsys):
    other = LocalStorage(tmp_path / "other")
    populate(other, tmp_path)
    (tmp_path / "other/tables").mkdir(exist_ok=True)
    (tmp_path / "other/tables/passwd").symlink_to("/etc/passwd")
    assert mlopsfw(["--project", str(project.root), "import", str(tmp_path / "other")]) == 1
    assert "'tables/passwd'" in capsys.readouterr().err
    assert list(project.storage.list()) == []


# -- the directory of actors -------------------------------------------------------------------------------------------


def test_who_was_renamed_or_forgotten_since_is_so_in_an_older_copy(source, target):
    directory = Actors(source, SystemClock())
    ada, eve = directory.join("ada"), directory.join("eve")
    transfer(source, target)
    assert contents(target) == contents(source)
    copied = Actors(target, SystemClock())
    assert copied.names([ada, eve]) == {ada: "ada", eve: "eve"}
    directory.rename(eve, "bob")
    directory.forget(ada)
    transfer(source, target)
    assert copied.names([ada, eve]) == {ada: ada, eve: "bob"}
    assert (copied.get(ada).key, copied.named()) == (b"", {eve})
    assert contents(target) == contents(source)
    assert transfer(source, target).copied == 0


def test_words_are_read_in_the_copy_and_erased_there_too(source, target, tmp_path):
    def texts(storage):
        actors = Actors(storage, SystemClock())
        return Texts(
            BlobStore(storage, tmp_path / "texts", SystemClock()), actors, EventTypes(), lambda: actors.join("ada")
        )

    reference = texts(source).put("hello")
    transfer(source, target)
    assert texts(target).get(reference) == "hello"
    Actors(source, SystemClock()).forget(Actors(source, SystemClock()).join("ada"))
    transfer(source, target)
    assert texts(target).get(reference) == "(erased)"
