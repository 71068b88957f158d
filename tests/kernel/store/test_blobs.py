"""Blobs: content-addressed, verified on every read, folders laid out safely, reuse seen by gc."""

from __future__ import annotations

import os
import random
import tracemalloc
from hashlib import sha256

import msgspec
import pytest

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import Corrupt, DataError, NotFound, StorageError
from mlopsfw.kernel.roles.host import Blobs
from mlopsfw.kernel.roles.storage import PART
from mlopsfw.kernel.store.blobs import PENDING, REFRESH, BlobStore, key_of
from mlopsfw_storage_object.local import LocalStorage


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "store")


@pytest.fixture
def blobs(storage, tmp_path):
    return open_blobs(storage, tmp_path)


def open_blobs(storage, tmp_path):
    return BlobStore(storage, tmp_path / "scratch", SystemClock())


def flip(storage, digest, bit):
    data = bytearray(storage.get(key_of(digest)))
    data[bit // 8] ^= 1 << bit % 8
    storage.put(key_of(digest), bytes(data))


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(100_000)], ids=["empty", "one byte", "random"])
def test_what_is_put_is_got_by_its_sha256(blobs: Blobs, tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    digest = blobs.put(data)
    assert digest == blobs.put(tmp_path / "file") == sha256(data).hexdigest()
    assert blobs.get(digest) == blobs.path(digest).read_bytes() == data


def test_a_blob_larger_than_a_chunk_is_copied_whole(blobs, monkeypatch):
    monkeypatch.setattr("mlopsfw.kernel.roles.storage.PART", 1000)
    for size in (999, 1000, 1001, 3000):
        data = os.urandom(size)
        assert blobs.path(blobs.put(data)).read_bytes() == data


@pytest.mark.parametrize(
    "digest", ["", "x", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 63 + "\n", "file:///etc/passwd"]
)
def test_only_a_digest_names_a_blob(blobs, digest):
    for read in (blobs.get, blobs.path, blobs.manifest):
        with pytest.raises(StorageError):
            read(digest)


def test_an_absent_blob_is_not_found(blobs):
    for read in (blobs.get, blobs.path):
        with pytest.raises(NotFound):
            read("0" * 64)


def test_storing_the_same_again_writes_nothing(storage, tmp_path, monkeypatch):
    digest = open_blobs(storage, tmp_path).put(b"data")
    monkeypatch.setattr("mlopsfw_storage_object.durable.write_temporary", None)
    assert open_blobs(storage, tmp_path).put(b"data") == digest


def test_storing_again_what_was_cut_off_heals_it(storage, tmp_path):
    digest = open_blobs(storage, tmp_path).put(b"data")
    storage.put(key_of(digest), b"da")
    with pytest.raises(Corrupt):
        open_blobs(storage, tmp_path).get(digest)
    assert open_blobs(storage, tmp_path).get(open_blobs(storage, tmp_path).put(b"data")) == b"data"


def test_a_file_that_changes_while_it_is_stored_is_refused(blobs, storage, tmp_path, monkeypatch):
    file = tmp_path / "growing"
    file.write_bytes(b"first")
    real = storage.put
    monkeypatch.setattr(storage, "put", lambda key, data: (file.write_bytes(b"second, longer"), real(key, data)))
    with pytest.raises(DataError, match="changed while"):
        blobs.put(file)


@pytest.mark.parametrize("bit", [0, 7, 8 * 500 + 3, 8 * 999 + 7])
def test_a_flipped_bit_is_never_served(storage, blobs, tmp_path, bit):
    digest = blobs.put(os.urandom(1000))
    flip(storage, digest, bit)
    for read in (blobs.get, blobs.path):
        with pytest.raises(Corrupt, match=digest):
            read(digest)
    assert not list((tmp_path / "scratch").rglob(f"{digest}*"))
    assert [(entry.key, found == digest) for entry, found in blobs.verify()] == [(key_of(digest), False)]


def test_a_flipped_bit_in_the_local_copy_is_never_served(storage, blobs, tmp_path):
    data = os.urandom(1000)
    copy = blobs.path(blobs.put(data))
    copy.chmod(0o600)
    copy.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    for again in (blobs, open_blobs(storage, tmp_path)):
        assert again.path(copy.name).read_bytes() == data


@pytest.mark.faults
def test_of_10000_flipped_bits_10000_are_detected(blobs, storage, tmp_path):
    rng = random.Random(1)
    missed = []
    for trial in range(10_000):
        digest = blobs.put(b"%d " % trial + rng.randbytes(rng.randrange(1, 300)))
        data = storage.get(key_of(digest))
        bit = rng.randrange(8 * len(data))
        with open(tmp_path / "store" / key_of(digest), "r+b") as file:  # noqa: PTH123
            file.seek(bit // 8)
            file.write(bytes([data[bit // 8] ^ 1 << bit % 8]))
        try:
            blobs.get(digest)
        except Corrupt:
            continue
        missed.append((digest, bit))
    assert missed == []
    found = [entry.key for entry, found in blobs.verify() if not entry.key.endswith(found)]
    assert len(found) == 10_000, "verify names every one"


# -- folders ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "folder"
    for name in ("a.txt", "deep/er/b.bin", "ä ö.txt", ".hidden", "empty"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() if name != "empty" else b"")
    return root


def listing(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_folder_comes_back_as_it_was(blobs, folder, tmp_path):
    digest = blobs.put_folder(folder)
    assert digest == blobs.put_folder(folder)
    assert listing(blobs.get_folder(digest, tmp_path / "out")) == listing(folder)


def test_an_empty_folder_comes_back_empty(blobs, tmp_path):
    (tmp_path / "none").mkdir()
    assert list(blobs.get_folder(blobs.put_folder(tmp_path / "none"), tmp_path / "out").iterdir()) == []


def test_a_folder_is_not_laid_over_another(blobs, folder, tmp_path):
    digest = blobs.put_folder(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "own").write_text("own")
    with pytest.raises(DataError, match="not empty"):
        blobs.get_folder(digest, other)
    assert listing(other) == {"own": b"own"}


@pytest.mark.parametrize("harm", ["a byte", "a cut", "a loss", "none"])
def test_a_folder_that_was_laid_out_is_made_whole_again(blobs, folder, tmp_path, harm):
    digest, to = blobs.put_folder(folder), tmp_path / "out"
    file = next(
        path for path in sorted(blobs.get_folder(digest, to).rglob("*")) if path.is_file() and path.stat().st_size
    )
    whole, data = listing(to), file.read_bytes()
    untouched = {path: path.stat().st_ino for path in to.rglob("*") if path.is_file() and path != file}
    with file.open("rb") as in_use:
        if harm == "a byte":
            file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        elif harm == "a cut":
            file.write_bytes(data[:-1])
        elif harm != "none":
            file.unlink()
        damaged = in_use.read()
        assert listing(blobs.get_folder(digest, to)) == whole
        in_use.seek(0)
        assert in_use.read() == damaged  # a process that has the old file keeps it
    assert {path: path.stat().st_ino for path in untouched} == untouched


@pytest.mark.parametrize("kind", ["file link", "folder link", "dangling", "fifo"])
def test_links_and_devices_are_not_stored(blobs, folder, kind):
    odd = folder / "odd"
    if kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to({"file link": "a.txt", "folder link": "deep", "dangling": "/nowhere"}[kind])
    with pytest.raises(DataError, match="odd"):
        blobs.put_folder(folder)


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../../x", "a/../x", "", ".", "./x", "a//x", "a/", "C:\\x", "a\\..\\x", "x\x00", "C:x"]
)
def test_a_manifest_that_points_outside_is_refused_whole(blobs, tmp_path, path):
    digest = blobs.put(msgspec.json.encode({"good": blobs.put(b"x"), path: blobs.put(b"y")}))
    with pytest.raises(DataError):
        blobs.get_folder(digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "x").exists()


def test_a_blob_that_is_no_manifest_is_no_folder(blobs, tmp_path):
    with pytest.raises(DataError, match="not a folder's manifest"):
        blobs.get_folder(blobs.put(b"[1]"), tmp_path / "out")


# -- reuse and collection --------------------------------------------------------------------------------------------------------


def test_a_reused_blob_gets_a_new_time(storage, tmp_path):
    digest = open_blobs(storage, tmp_path).put(b"data")
    file = tmp_path / "store" / key_of(digest)
    old = file.stat().st_mtime - REFRESH - 10
    os.utime(file, (old, old))
    open_blobs(storage, tmp_path).put(b"data")
    assert file.stat().st_mtime > old + REFRESH


def test_a_blob_stored_while_gc_is_about_to_delete_it_is_there_afterwards(storage, tmp_path, monkeypatch):
    digest = sha256(b"data").hexdigest()
    storage.put(PENDING, msgspec.json.encode([digest]))

    def collect(seconds):
        storage.delete(key_of(digest))
        storage.delete(PENDING)

    monkeypatch.setattr("mlopsfw.kernel.store.blobs.time.sleep", collect)
    blobs = open_blobs(storage, tmp_path)
    assert blobs.get(blobs.put(b"data")) == b"data"


def test_a_large_file_is_never_whole_in_memory(blobs, tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "weights").write_bytes(bytes(4 * PART))
    tracemalloc.start()
    blobs.get_folder(blobs.put_folder(folder), tmp_path / "laid")
    list(blobs.verify())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "laid/weights").stat().st_size == 4 * PART
    assert peak < 2.5 * PART
