"""The bundled storage: the contract on a folder and on obstore's memory store, and what is the folder's own."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import obstore
import pytest

from mlopsfw.kernel.base.errors import StorageError, StorageUnavailable, UsageError
from mlopsfw.privacy.secrets import SecretResolver
from mlopsfw.testing.storage import StorageConformance
from mlopsfw_storage_object import ObjectConfig, build, durable
from mlopsfw_storage_object.local import LocalStorage
from mlopsfw_storage_object.remote import open_remote
from mlopsfw_storage_object.retry import Retries


class TestFolder(StorageConformance):
    @pytest.fixture
    def storage(self, tmp_path):
        return LocalStorage(tmp_path / "store")

    @pytest.fixture
    def reopened(self, tmp_path):
        return LocalStorage(tmp_path / "store")


def no_links(number):
    def link(*_args):
        raise OSError(number, os.strerror(number))

    return link


class TestFolderWithoutHardLinks(StorageConformance):
    @pytest.fixture(autouse=True)
    def links(self, monkeypatch):
        monkeypatch.setattr(os, "link", no_links(errno.EPERM))

    @pytest.fixture
    def storage(self, tmp_path):
        return LocalStorage(tmp_path / "store")

    @pytest.fixture
    def reopened(self, tmp_path):
        return LocalStorage(tmp_path / "store")


class TestObstoreInMemory(StorageConformance):
    @pytest.fixture
    def storage(self):
        return open_remote("memory:///", {}, attempts=2, budget=5)


def host(root):
    return SimpleNamespace(root=root, secrets=SecretResolver(root))


@pytest.mark.parametrize(
    ("url", "where"), [("file:some/store", "some/store"), ("file:with%20space", "with space"), ("file:./x/../y", "y")]
)
def test_a_relative_file_url_is_relative_to_the_project(tmp_path, url, where):
    build(ObjectConfig(url=url), host(tmp_path)).put("k", b"v")
    assert (tmp_path / where / "k").read_bytes() == b"v"


def test_an_absolute_file_url_is_taken_as_it_is(tmp_path):
    storage = build(ObjectConfig(url=(tmp_path / "a b").as_uri()), host(tmp_path / "elsewhere"))
    storage.put("k", b"v")
    assert (tmp_path / "a b" / "k").read_bytes() == b"v"
    assert storage.describe() == (tmp_path / "a b").as_uri()


@pytest.mark.parametrize("url", ["", "store", "/abs/path", "nonsense://x", "s3:", "://x"])
def test_a_url_that_cannot_be_opened_is_a_usage_error(tmp_path, url):
    with pytest.raises(UsageError):
        build(ObjectConfig(url=url), host(tmp_path))


def test_a_url_by_reference_is_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("STORE", "s3://bucket/x")
    assert build(ObjectConfig(url="env:STORE"), host(tmp_path)).describe() == "s3://bucket/x"
    monkeypatch.setenv("STORE", "file:there")
    build(ObjectConfig(url="env:STORE"), host(tmp_path)).put("k", b"v")
    assert (tmp_path / "there" / "k").read_bytes() == b"v"


@pytest.mark.parametrize(
    "url",
    [
        "s3://ada:canary@bucket/x",
        "s3://canary@bucket/x",
        "az://c/x?sig=canary",
        "abfss://c:canary@a.dfs/x",
        "s3://[canary",
        "canary",
    ],
)
def test_a_reference_to_more_than_a_place_is_refused_without_being_shown(tmp_path, monkeypatch, url):
    monkeypatch.setenv("STORE", url)
    with pytest.raises(UsageError) as caught:
        build(ObjectConfig(url="env:STORE"), host(tmp_path))
    assert "canary" not in str(caught.value)


def test_an_unknown_option_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="aws_regoin"):
        build(ObjectConfig(url="s3://bucket/x", options={"aws_regoin": "x"}), host(tmp_path))


def test_secret_references_are_resolved_and_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "the secret")
    (tmp_path / "id").write_text("the id\n")
    options = {"aws_secret_access_key": "env:SECRET", "aws_access_key_id": "file:id", "aws_region": "x"}
    storage = build(ObjectConfig(url="s3://bucket/x", options=options), host(tmp_path))
    assert storage.describe() == "s3://bucket/x"
    assert storage.table_location("t").options == {
        "aws_secret_access_key": "the secret",
        "aws_access_key_id": "the id",
        "aws_region": "x",
    }


@pytest.mark.parametrize("attempts", [0, 21])
def test_the_number_of_attempts_is_bounded(attempts):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"attempts": attempts}, ObjectConfig)


def test_a_local_store_does_not_import_obstore(tmp_path):
    code = (
        "import sys, pathlib; from mlopsfw_storage_object.local import LocalStorage; import mlopsfw_storage_object\n"
        f"s = LocalStorage(pathlib.Path({str(tmp_path)!r})); s.put('k', b''); s.get('k'); s.table_location('t')\n"
        "heavy = {'obstore', 'numpy', 'pyarrow', 'polars', 'deltalake'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_folders_and_files_are_private_even_without_a_umask(tmp_path):
    old = os.umask(0)
    try:
        LocalStorage(tmp_path / "new" / "store").put("a/b", b"")
    finally:
        os.umask(old)
    modes = {str(p.relative_to(tmp_path / "new")): p.stat().st_mode & 0o777 for p in (tmp_path / "new").rglob("*")}
    assert modes == {"store": 0o700, "store/.tmp": 0o700, "store/a": 0o700, "store/a/b": 0o600}


def test_every_write_is_flushed_before_it_is_named_and_its_folder_after(tmp_path, monkeypatch):
    """The order that durability rests on, as the system sees it."""
    storage = LocalStorage(tmp_path)
    storage.put("a/warm", b"")
    log = []
    for call in ("fsync", "link", "replace"):
        real = getattr(os, call)
        monkeypatch.setattr(
            os, call, lambda *args, real=real, call=call: (log.append((call, _seen(args))), real(*args))[1]
        )
    storage.put_if_absent("a/new", b"x")
    storage.put("a/new", b"y")
    storage.put_if_absent("a/new", b"z")
    kinds = [(call, kind) for call, kind in log]
    assert kinds == [
        ("fsync", "file"), ("link", "name"), ("fsync", "folder"),
        ("fsync", "file"), ("replace", "name"), ("fsync", "folder"),
        ("fsync", "folder"),
    ]  # fmt: skip


NO_LINKS = [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK]


@pytest.mark.parametrize("number", NO_LINKS, ids=errno.errorcode.get)
def test_without_hard_links_a_name_is_given_once_as_durably_and_nothing_is_left(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", no_links(number))
    storage = LocalStorage(tmp_path)
    storage.put("a/warm", b"")
    log = []
    real, rename = os.fsync, durable.rename_exclusive
    monkeypatch.setattr(os, "fsync", lambda place: (log.append(_seen([place])), real(place))[1])
    monkeypatch.setattr(durable, "rename_exclusive", lambda *names: (log.append("rename"), rename(*names))[1])
    assert storage.put_if_absent("a/new", b"x")
    assert log == ["file", "rename", "folder"]
    with pytest.raises(FileExistsError):
        rename(str(tmp_path / "a/warm"), str(tmp_path / "a/new"))
    monkeypatch.setattr(os.path, "lexists", lambda _path: False)  # another writer comes in between
    assert not storage.put_if_absent("a/new", b"z")
    assert storage.get("a/new") == b"x"
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_table_lies_in_a_folder_only_where_delta_can_link(tmp_path, monkeypatch):
    assert LocalStorage(tmp_path).table_location("t") is not None
    monkeypatch.setattr(os, "link", no_links(errno.EPERM))
    assert LocalStorage(tmp_path).table_location("t") is None
    assert list((tmp_path / ".tmp").iterdir()) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC], ids=errno.errorcode.get)
def test_an_error_that_does_not_mean_no_links_is_raised_as_it_is(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", no_links(number))
    with pytest.raises(StorageError, match=os.strerror(number)):
        LocalStorage(tmp_path).put_if_absent("k", b"")
    assert list((tmp_path / ".tmp").iterdir()) == []


def _seen(args):
    if isinstance(args[0], int):
        return "folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else "file"
    return "name"


def test_a_new_folder_is_flushed_into_the_one_above_by_everyone_who_writes_to_it(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("mlopsfw_storage_object.durable.flush_folder", lambda path: flushed.append(Path(path)))
    LocalStorage(tmp_path).put("a/b/one", b"")
    assert {tmp_path, tmp_path / "a", tmp_path / "a/b"} <= set(flushed)
    flushed.clear()
    LocalStorage(tmp_path).put("a/b/two", b"")  # another process: the first may not have got as far as its flush
    assert {tmp_path, tmp_path / "a", tmp_path / "a/b"} <= set(flushed)


def test_temporary_files_of_dead_writers_are_swept(tmp_path):
    LocalStorage(tmp_path).put("k", b"")
    dead, alive = tmp_path / ".tmp" / "dead", tmp_path / ".tmp" / "alive"
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    os.utime(dead, (0, 0))
    LocalStorage(tmp_path).put("k", b"")
    assert not dead.exists()
    assert alive.exists()
    assert [e.key for e in LocalStorage(tmp_path).list()] == ["k"]


def test_a_key_below_an_object_and_an_object_over_keys_are_refused(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.put("a/b", b"")
    for key in ("a/b/c", "a"):
        for write in (storage.put, storage.put_if_absent):
            with pytest.raises(StorageError):
                write(key, b"")
    assert [e.key for e in storage.list()] == ["a/b"]
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_retries_end_with_the_attempts_and_keep_the_cause():
    tries = []

    def request():
        tries.append(1)
        raise OSError("reset")

    with pytest.raises(StorageUnavailable, match="failed 3 times: reset") as caught:
        Retries(attempts=3, budget=60).run(request, "get of 'k'", again=OSError)
    assert len(tries) == 3
    assert isinstance(caught.value.__cause__, OSError)


def test_retries_end_with_the_budget():
    tries = []

    def request():
        tries.append(1)
        raise OSError

    with pytest.raises(StorageUnavailable):
        Retries(attempts=20, budget=0).run(request, "get", again=OSError)
    assert len(tries) == 1


def test_a_listing_that_breaks_off_goes_on_where_it_did(monkeypatch):
    storage = open_remote("memory:///", {}, attempts=3, budget=5)
    keys = [f"k/{n:04d}" for n in range(25)]
    for key in keys:
        storage.put(key, b"")
    real, broken = obstore.list, []

    def breaking(store, prefix, *, offset, chunk_size):
        pages = iter(real(store, prefix, offset=offset, chunk_size=10))
        yield next(pages)
        if len(broken) < 2:
            broken.append(offset)
            raise obstore.exceptions.GenericError("connection reset")
        yield from pages

    monkeypatch.setattr(obstore, "list", breaking)
    assert [entry.key for entry in storage.list("k/")] == keys
    assert broken == [None, "k/0009"]
