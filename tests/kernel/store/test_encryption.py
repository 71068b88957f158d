"""Encryption at rest: no plaintext in the store, any damage is seen, ranges open, and rotation loses nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading

import msgspec
import obstore.store
import pyarrow as pa
import pytest
from click.testing import CliRunner

from mlopsfw import start_run
from mlopsfw.cli.root import cli
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import ConfigError, Corrupt, DataError, TablesUnsupported, WrongKey
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.store import sealed
from mlopsfw.kernel.store.blobs import BlobStore, key_of
from mlopsfw.kernel.store.keyring import ROOT, Keyring
from mlopsfw.kernel.store.sealed import CHUNK, HEADER
from mlopsfw.kernel.store.vault import Vault, parse_key
from mlopsfw.models.bundle.stored import stored_manifest
from mlopsfw.operations.gc import collect
from mlopsfw.operations.plaintext import peek
from mlopsfw.operations.transfer import transfer
from mlopsfw.pipeline.cache.results import Results
from mlopsfw.project.config import load_config
from mlopsfw.project.facade import Project
from mlopsfw.roles import EndpointSpec
from mlopsfw.testing.bundles import write_bundle
from mlopsfw_storage_object.local import LocalStorage
from mlopsfw_storage_object.remote import RemoteStorage
from mlopsfw_storage_object.retry import Retries

CANARY = b"canary-4f1c9e77-of-the-content"
OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture(params=["local", "remote"])
def storage(request, tmp_path):
    """A folder, and what S3 goes through, in memory."""
    if request.param == "local":
        return LocalStorage(tmp_path / "store")
    return RemoteStorage(obstore.store.MemoryStore(), "memory:///", {}, Retries(attempts=1, budget=5.0))


def open_blobs(storage, tmp_path, *keys):
    return BlobStore(
        storage, tmp_path / secrets.token_hex(4), SystemClock(), Vault(Keyring(storage, lambda: keys or (OLD,)))
    )


def everything(storage):
    return {entry.key: storage.get(entry.key) for entry in storage.list()}


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_what_is_put_comes_back_and_lies_nowhere_as_it_was(storage, tmp_path, size):
    blobs, data = open_blobs(storage, tmp_path), (CANARY * (size // len(CANARY) + 1))[:size]
    (tmp_path / "file").write_bytes(data)
    digest = blobs.put(data)
    assert digest == blobs.put(tmp_path / "file")
    assert blobs.get(digest) == blobs.path(digest).read_bytes() == data
    assert not any(CANARY[:16] in stored for stored in everything(storage).values())
    assert [found for _, found in blobs.verify()] == [digest]


def test_without_encryption_the_same_search_finds_the_content(storage, tmp_path):
    BlobStore(storage, tmp_path / "scratch", SystemClock()).put(CANARY)
    assert any(CANARY in stored for stored in everything(storage).values())


def test_equal_content_has_one_address_in_every_process(storage, tmp_path):
    first = open_blobs(storage, tmp_path).put(CANARY)
    assert first == open_blobs(storage, tmp_path).put(CANARY) != open_blobs(storage, tmp_path).put(CANARY + b".")


def test_a_local_copy_is_trusted_by_a_new_process_and_an_altered_one_is_fetched_again(storage, tmp_path, monkeypatch):
    blobs = open_blobs(storage, tmp_path)
    copy = blobs.path(digest := blobs.put(CANARY))
    again = BlobStore(storage, copy.parent.parent, SystemClock(), Vault(Keyring(storage, lambda: (OLD,))))
    inode = copy.stat().st_ino
    assert again.path(digest).stat().st_ino == inode
    copy.chmod(0o600)
    copy.write_bytes(CANARY.upper())
    assert again.path(digest).read_bytes() == CANARY


def test_what_was_stored_before_encryption_is_still_read(storage, tmp_path):
    plain = BlobStore(storage, tmp_path / "scratch", SystemClock()).put(CANARY)
    blobs = open_blobs(storage, tmp_path)
    assert blobs.get(plain) == blobs.path(plain).read_bytes() == CANARY


@pytest.mark.parametrize("keys", [(), (NEW,)], ids=["no key", "another key"])
def test_the_wrong_key_is_a_typed_error_and_never_ciphertext(storage, tmp_path, keys):
    digest = open_blobs(storage, tmp_path).put(CANARY)
    vault = Vault(Keyring(storage, lambda: keys)) if keys else None
    blobs = BlobStore(storage, tmp_path / "other", SystemClock(), vault)
    for read in (blobs.get, blobs.path):
        with pytest.raises(WrongKey):
            read(digest)
    assert not [file for file in (tmp_path / "other").rglob("*") if file.is_file()]


def test_any_flipped_bit_is_corrupt(storage, tmp_path):
    blobs = open_blobs(storage, tmp_path)
    key = key_of(digest := blobs.put(CANARY))
    whole = storage.get(key)
    for bit in range(0, len(whole) * 8, 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        storage.put(key, bytes(damaged))
        with pytest.raises(Corrupt):
            blobs.get(digest)


def test_chunks_that_are_moved_repeated_cut_off_or_of_another_blob_do_not_open():
    def stored(key):
        header = sealed.Header(b"k" * 8, b"w" * 40, 3 * CHUNK)
        return header, b"".join(sealed.seal(Zeros(), header, key))

    header, data = stored(OLD)
    _, other = stored(NEW)
    wide = CHUNK + 16
    head, chunks = data[:HEADER], [data[at : at + wide] for at in range(HEADER, len(data), wide)]
    swapped, repeated = [chunks[1], chunks[0], chunks[2]], [chunks[0], chunks[0], chunks[2]]
    strange = [chunks[0], other[HEADER + wide : HEADER + 2 * wide], chunks[2]]
    short = [chunks[0], chunks[1]]
    assert b"".join(opened(head + b"".join(chunks), header)) == bytes(3 * CHUNK)
    for damaged in (swapped, repeated, strange, short):
        with pytest.raises(Corrupt):
            list(opened(head + b"".join(damaged), header))
    shorter = header._replace(size=2 * CHUNK)  # a header that agrees with the cut
    with pytest.raises(Corrupt):
        list(opened(shorter.pack() + b"".join(short), shorter))


class Zeros:
    def read(self, size):
        return bytes(size)


def opened(data, header):
    return sealed.unseal(lambda at, size: data[at : at + size], header, OLD)


def test_any_range_opens_only_the_chunks_that_it_touches(storage, tmp_path):
    blobs, data, fetched = open_blobs(storage, tmp_path), os.urandom(3 * CHUNK + 100), []
    key = key_of(blobs.put(data))
    vault = Vault(Keyring(storage, lambda: (OLD,)))

    def fetch(start, length):
        fetched.append(start)
        return storage.get(key, start=start, length=length)

    for start, length in [
        (0, 1),
        (CHUNK - 1, 2),
        (CHUNK, CHUNK),
        (2 * CHUNK + 7, None),
        (3 * CHUNK + 99, 50),
        (len(data), 1),
    ]:
        fetched.clear()
        end = len(data) if length is None else start + length
        assert b"".join(vault.open(fetch, start, length)) == data[start:end]
        assert len(fetched) - 1 <= -(-min(end, len(data)) // CHUNK) - start // CHUNK
    assert peek(storage, key, vault, 10) == data[:10]


def test_a_file_that_changes_while_it_is_stored_is_not_stored(tmp_path, monkeypatch):
    storage = LocalStorage(tmp_path / "store")
    blobs, file = open_blobs(storage, tmp_path), tmp_path / "file"
    file.write_bytes(b"a" * CHUNK)
    whole = sealed.seal

    def meddle(*arguments):
        file.write_bytes(b"b" * CHUNK)
        return whole(*arguments)

    monkeypatch.setattr(sealed, "seal", meddle)
    with pytest.raises(DataError, match="changed"):
        blobs.put(file)
    assert not list(storage.list("objects/"))


# -- rotation --------------------------------------------------------------------------------------------------------------


def test_after_rotation_the_new_key_opens_everything_and_the_old_one_nothing(storage, tmp_path):
    before = open_blobs(storage, tmp_path).put(CANARY)
    held = {key: data for key, data in everything(storage).items() if key.startswith("objects/")}
    assert Keyring(storage, lambda: (NEW, OLD)).rotate() == 2
    blobs = open_blobs(storage, tmp_path, NEW)
    after = blobs.put(CANARY + b"2")
    assert (blobs.get(before), blobs.get(after)) == (CANARY, CANARY + b"2")
    assert held.items() <= everything(storage).items(), "no blob was written anew"
    assert [entry.key for entry in storage.list(ROOT)] == ["keys/ring-00000002"]
    with pytest.raises(WrongKey, match="encrypted with another key"):
        open_blobs(storage, tmp_path, OLD).get(before)
    assert storage.get(key_of(before))[8:16] != storage.get(key_of(after))[8:16], "new blobs have a key of their own"


def test_readers_and_writers_go_on_while_the_key_is_rotated(storage, tmp_path):
    blobs = open_blobs(storage, tmp_path, NEW, OLD)
    digests, failures, stop = {blobs.put(b"%d" % n): b"%d" % n for n in range(20)}, [], threading.Event()

    def work(number):
        mine = open_blobs(storage, tmp_path, NEW, OLD)
        while not stop.is_set():
            try:
                fresh = mine.put(secrets.token_bytes(9))
                mine.get(fresh)
                assert all(mine.get(digest) == data for digest, data in digests.items())
            except Exception as error:  # noqa: BLE001
                failures.append(error)
                return

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        Keyring(storage, lambda: (NEW, OLD)).rotate()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_process_that_has_the_old_ring_reads_on_and_finds_new_keys_by_itself(storage, tmp_path):
    early = open_blobs(storage, tmp_path, NEW, OLD)
    before = early.put(CANARY)
    Keyring(storage, lambda: (NEW, OLD)).rotate()
    after = open_blobs(storage, tmp_path, NEW).put(b"new")
    assert (early.get(before), early.get(after)) == (CANARY, b"new")


KILLED = """
import os, signal, sys
from pathlib import Path
from mlopsfw.kernel.store.keyring import Keyring
from mlopsfw_storage_object.local import LocalStorage
left = [int(sys.argv[2])]
def mortal(call):
    def called(*args, **options):
        left[0] -= 1
        if left[0] <= 0: os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return called
for name in ("open", "write", "fsync", "link", "unlink"): setattr(os, name, mortal(getattr(os, name)))
Keyring(LocalStorage(Path(sys.argv[1])), lambda: (b"n" * 32, b"o" * 32)).rotate()
"""


@pytest.mark.faults
def test_kill_9_at_any_call_of_a_rotation_loses_nothing(tmp_path):
    storage = LocalStorage(tmp_path / "store")
    digest, kills = open_blobs(storage, tmp_path).put(CANARY), 0
    for call in range(1, 40):
        status = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "store"), str(call)], check=False)
        assert open_blobs(storage, tmp_path, NEW, OLD).get(digest) == CANARY
        if status.returncode == 0:
            break
        assert status.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 5
    Keyring(storage, lambda: (NEW, OLD)).rotate()
    assert len(list(storage.list(ROOT))) == 1
    assert open_blobs(storage, tmp_path, NEW).get(digest) == CANARY


# -- the project -----------------------------------------------------------------------------------------------------------


def make_project(root, monkeypatch, extra=""):
    root.mkdir(exist_ok=True)
    (root / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n[storage]\nencrypt = "env:K"\n{extra}')
    monkeypatch.setenv("K", "ab" * 32)
    return Project.open(root)


SECRET = "canary-4f1c9e77"
TABLES = {
    "a version of a dataset": lambda project: project.datasets.commit("d", {"a": [SECRET]}),
    "a file that is added": lambda project: verb(project, "data", "add", "d", "rows.csv"),
    "rows in quarantine": lambda project: verb(
        project, "data", "add", "d", "bad.csv", "--type", "n=int64", "--max-bad", "0.9"
    ),
    "a plugin's table": lambda project: project.host("monitor.acme").tables.append(
        "plugin/monitor.acme/t", pa.table({"a": [SECRET]})
    ),
    "labels of a file": lambda project: project.labels.add("m", [{"prediction_id": SECRET, "label": 1}]),
    "captures of an endpoint": lambda project: project.endpoints.deploy("models:/m@1"),
    "captures of a deployer": lambda project: project.host("deployer.acme").capture(
        EndpointSpec(endpoint="e", revision=1, model="m", version=1, bundle="b"), manifest_of(project)
    ),
}


@pytest.fixture
def encrypted(tmp_path, monkeypatch):
    """A project with encrypted blobs and a model, and files whose rows hold the secret."""
    with make_project(tmp_path / "p", monkeypatch) as project:
        (project.root / "rows.csv").write_text(f"a,n\n{SECRET},1\n")
        (project.root / "bad.csv").write_text(f"n\n1\n2\n{SECRET},{SECRET}\n")
        project.registry.register("m", project.blobs.put_folder(write_bundle(tmp_path / "bundle", 0.0)))
        yield project


def verb(project, *args):
    """Run a verb and raise its error."""
    with contextlib.chdir(project.root):
        cli.main(args=args, prog_name="mlopsfw", standalone_mode=False)


def manifest_of(project):
    return stored_manifest(project.blobs, project.registry.resolve("m@1").bundle)


@pytest.mark.parametrize("kind", TABLES)
def test_no_kind_of_table_is_written_in_clear_where_blobs_are_encrypted(encrypted, kind):
    with pytest.raises(TablesUnsupported, match="cannot encrypt the table"):
        TABLES[kind](encrypted)
    below = [file for file in (encrypted.root / ".mlopsfw").rglob("*") if file.is_file()]
    assert not [file for file in below if SECRET.encode() in file.read_bytes()]
    assert encrypted.endpoints.list() == []


def test_results_of_steps_and_bundles_with_their_profiles_lie_encrypted_in_the_store(tmp_path, monkeypatch):
    steps = '[steps.a]\npython = "m:a"\n'
    source = f"import polars as pl\ndef a():\n    return pl.DataFrame({{'a': ['{SECRET}'] * 10}})\n"
    with make_project(tmp_path / "p", monkeypatch, steps) as project:
        (project.root / "m.py").write_text(source)
        verb(project, "run", "--debug")
        folder = write_bundle(tmp_path / "bundle", 0.0)
        project.registry.register("m", project.blobs.put_folder(folder))
        store = [file.read_bytes() for file in (project.root / ".mlopsfw" / "store").rglob("*") if file.is_file()]
    plain = [SECRET.encode(), *(file.read_bytes() for file in folder.iterdir() if file.stat().st_size > 64)]
    assert not [content for content in plain if any(content in stored for stored in store)]


def test_gc_keeps_what_an_encrypted_manifest_names(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(CANARY)
    with make_project(tmp_path / "p", monkeypatch) as project:
        folder, lost = project.blobs.put_folder(tmp_path / "folder"), project.blobs.put(b"lost")
        project.ledger.stream("run/x").append(PlainRecord("test.kept", {"blob": folder}))
        done = collect(project.storage, project.ledger, grace=0, vault=project.vault)
        assert done.deleted == [lost]
        assert project.blobs.get_folder(folder, tmp_path / "out").joinpath("file").read_bytes() == CANARY


def test_a_copy_of_the_project_opens_with_the_same_key_and_has_no_ring_that_was_rotated_away(tmp_path, monkeypatch):
    target = LocalStorage(tmp_path / "copy")
    with make_project(tmp_path / "p", monkeypatch) as project:
        digest = project.blobs.put(CANARY)
        transfer(project.storage, target)
        project.vault.keyring.rotate()
        transfer(project.storage, target)
    assert len(list(target.list(ROOT))) == 1
    assert open_blobs(target, tmp_path, bytes.fromhex("ab" * 32)).get(digest) == CANARY


def test_the_verb_rotates_and_doctor_tells_of_a_rotation_cut_short(tmp_path, monkeypatch):
    from mlopsfw.cli.storage import storage as verb

    with make_project(tmp_path / "p", monkeypatch) as project:
        project.blobs.put(CANARY)
        old = {entry.key: project.storage.get(entry.key) for entry in project.storage.list(ROOT)}
        done = CliRunner().invoke(verb, ["rotate-key", "--json"], obj={"opened": project}, catch_exceptions=False)
        assert msgspec.json.decode(done.output) == {"ring": 2, "key": "env:K"}
        for key, data in old.items():
            project.storage.put(key, data)
        levels = {found.level for found in project.doctor.examine() if found.check == "encryption"}
        assert levels == {"warning", "ok"}


@pytest.mark.parametrize("text", ["", "secret", "ab" * 31, "ab" * 33, "zz" * 32])
def test_a_key_is_32_bytes_and_a_wrong_one_is_never_shown(text):
    with pytest.raises(ConfigError) as caught:
        parse_key(text, "env:K")
    assert not text or text not in str(caught.value)


def test_a_key_in_the_file_itself_is_refused(tmp_path):
    file = tmp_path / "mlopsfw.toml"
    file.write_text(f'[project]\nname = "p"\n[storage]\nencrypt = "{"ab" * 32}"\n')
    with pytest.raises(ConfigError, match="reference") as caught:
        load_config(file)
    assert "ab" * 32 not in str(caught.value)


def test_runs_are_listed_without_a_key(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY_OF_NOBODY", "ab" * 32)
    config = '[project]\nname = "p"\n[storage]\nencrypt = "env:KEY_OF_NOBODY"\n'
    (tmp_path / "mlopsfw.toml").write_text(config, encoding="utf-8")
    with start_run("tuning", project=Project.open(tmp_path)) as run:
        run.log_metric("loss", 1.0)
    monkeypatch.delenv("KEY_OF_NOBODY")
    project = Project.open(tmp_path)
    assert [view.status for view in project.runs.list()] == ["done"]
    with pytest.raises(ConfigError, match="KEY_OF_NOBODY"):
        project.runs.metrics(run.id)


def test_whether_a_step_s_blob_is_stored_is_known_without_a_key(tmp_path, monkeypatch):
    monkeypatch.delenv("KEY_OF_NOBODY", raising=False)
    config = '[project]\nname = "p"\n[storage]\nencrypt = "env:KEY_OF_NOBODY"\n'
    (tmp_path / "mlopsfw.toml").write_text(config, encoding="utf-8")
    project = Project.open(tmp_path)
    stored, absent = "0" * 64, "1" * 64
    project.storage.put(key_of(stored), b"sealed")
    results = Results(project.services, project.datasets)
    assert results.is_stored(Artifact(kind="file", digest=stored, blob=stored))
    assert not results.is_stored(Artifact(kind="file", digest=absent, blob=absent))
