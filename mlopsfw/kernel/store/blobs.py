"""`BlobStore`: content-addressed bytes on the storage, verified on every read. What they mean, the ledger says.

A blob lies at `objects/<first two digits>/<sha256>`; the first two keep a folder on a disk from growing without end.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

import msgspec

from mlopsfw.kernel.base.errors import Corrupt, DataError, NotFound, StorageError, WrongKey
from mlopsfw.kernel.roles.host import Clock
from mlopsfw.kernel.roles.storage import Entry, Storage
from mlopsfw.kernel.store import tombstones
from mlopsfw.kernel.store.sealed import HEADER, is_sealed

if TYPE_CHECKING:
    from mlopsfw.kernel.store.vault import Vault

T = TypeVar("T")
R = TypeVar("R")

ROOT = "objects/"
PENDING = "gc/pending.json"
"""What `gc` is about to delete, while it does."""
REFRESH = 86_400.0
"""Seconds after which a blob that is stored again gets a new time, so that `gc` does not take it for abandoned."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 16 << 20
_KNOWN_FOR = 600.0  # seconds for which a blob that we stored ourselves need not be looked up
_GC_PATIENCE = 60.0
_BESIDE = 8


def key_of(digest: str) -> str:
    """Return the key of a blob. Raise `StorageError` where `digest` is not 64 hex digits."""
    if not _DIGEST.fullmatch(digest):
        raise StorageError(f"{digest!r} is not a digest", hint="Digests are 64 lower-case hex digits (sha256).")
    return f"{ROOT}{digest[:2]}/{digest}"


class BlobStore:
    """Implements `mlopsfw.roles.Blobs`.

    Args:
        storage: Where the blobs are kept.
        scratch: A private folder for local copies; it may be emptied at any time when nothing runs.
        clock: This machine's.
        vault: Encrypts what is stored from now on, and decrypts; None for neither.
    """

    def __init__(self, storage: Storage, scratch: Path, clock: Clock, vault: Vault | None = None) -> None:
        self._storage, self._scratch, self._clock, self._vault = storage, scratch, clock, vault
        self._known: dict[str, float] = {}  # digest → when we last made sure that it is stored
        self._checked: dict[str, tuple[int, int, int]] = {}  # digest → the look of its local copy when it was verified

    # -- writing -------------------------------------------------------------------------------------------------------

    def put(self, data: bytes | Path) -> str:
        """Store `data` (bytes, or a file's content) durably; return the digest of what was stored."""
        if isinstance(data, Path):
            return self._put_file(data) if self._vault is None else self._put_sealed(data, self._vault)
        if self._vault is not None:
            data = self._vault.seal(data)
        digest = sha256(data).hexdigest()
        self._store(digest, data)
        return digest

    def _put_sealed(self, file: Path, vault: Vault) -> str:
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        sealed = self._scratch / f"{secrets.token_hex(8)}.sealed"
        try:
            vault.seal_file(file, sealed)
            return self._put_file(sealed)
        finally:
            sealed.unlink(missing_ok=True)

    def _put_file(self, file: Path) -> str:
        before = _look(file)
        with file.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        self._store(digest, file)
        if _look(file) != before:
            self._known.pop(digest, None)
            raise DataError(
                f"{file} changed while mlopsfw stored it", hint="Store it again after the writing has ended."
            )
        return digest

    def _store(self, digest: str, data: bytes | Path) -> None:
        now = self._clock.monotonic()
        if now - self._known.get(digest, -_KNOWN_FOR) < _KNOWN_FOR:
            return
        key = key_of(digest)
        entry = entry_of(self._storage, digest)
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        if entry is None or entry.size != size or self._clock.now() - entry.modified > REFRESH:
            self._storage.put(key, data)
            self._outlast_gc(digest, data)
        else:
            self._storage.put_if_absent(key, data)  # there, but perhaps not yet durable: this waits until it is
        self._known[digest] = now

    def afresh(self, scratch: Path) -> BlobStore:
        """Return the same blobs without this machine's copies: they are read anew and kept in `scratch`."""
        return BlobStore(self._storage, scratch, self._clock, self._vault)

    def doubt(self) -> None:
        """Look again, when a blob is stored, whether it is there: some were removed."""
        self._known.clear()

    def _outlast_gc(self, digest: str, data: bytes | Path) -> None:
        """Store again what a collection that began before our write may have deleted after it."""
        end = self._clock.monotonic() + _GC_PATIENCE
        while digest in self._pending():
            if self._clock.monotonic() > end:  # it died: its list is stale, and only a new collection writes a new one
                self._storage.put(key_of(digest), data)
                return
            time.sleep(0.1)
            if digest not in self._pending():
                self._storage.put(key_of(digest), data)

    def _pending(self) -> list[str]:
        try:
            return msgspec.json.decode(self._storage.get(PENDING), type=list[str])
        except NotFound:
            return []

    def put_folder(self, folder: Path) -> str:
        """Store every file of `folder` and a manifest (`{relative path: digest}`); return the manifest's digest.

        Raises:
            DataError: It is not a folder, or holds a link or anything else that is neither a file nor a folder.
        """
        files = sorted(_files(folder), key=lambda file: file.relative_to(folder).as_posix())
        digests = _beside(self.put, files)
        manifest = {file.relative_to(folder).as_posix(): digest for file, digest in zip(files, digests, strict=True)}
        return self.put(msgspec.json.encode(manifest))

    # -- reading -------------------------------------------------------------------------------------------------------

    def get(self, digest: str) -> bytes:
        """Return the bytes. Raise `NotFound`, `Corrupt` (another digest) or `WrongKey` (another encryption key)."""
        data = self._stored(digest)
        if sha256(data).hexdigest() != digest:
            raise _corrupt(digest, self._storage)
        if not is_sealed(data):
            return data
        return b"".join(decrypt(lambda start, length: data[start : start + length], self._vault))

    def _stored(self, digest: str) -> bytes:
        try:
            return self._storage.get(key_of(digest))
        except NotFound:
            tombstones.refuse(self._storage, digest)
            raise

    def path(self, digest: str) -> Path:
        """Return a local, verified, read-only copy; it is kept, so a second call costs one look at it.

        Raises:
            NotFound: There is no such blob.
            Erased: It was erased on request.
            Corrupt: What is stored does not match.
        """
        key_of(digest)
        copy = self._scratch / digest[:2] / digest
        if not self._is_good(copy, digest):
            try:
                self._fetch(digest, copy)
            except NotFound:
                tombstones.refuse(self._storage, digest)
                raise
            self._checked[digest] = _look(copy)
        return copy

    def _is_good(self, copy: Path, digest: str) -> bool:
        try:
            look = _look(copy)
            if self._checked.get(digest) == look:
                return True
            with copy.open("rb") as stream:
                computed = file_digest(stream, "sha256")
            good = computed.hexdigest() == digest or self._is_plaintext(digest, computed.digest())
        except FileNotFoundError:
            return False
        if good:
            self._checked[digest] = look
        return good

    def _is_plaintext(self, digest: str, computed: bytes) -> bool:
        if self._vault is None:
            return False
        stored = self._storage.get(key_of(digest), length=HEADER)
        return is_sealed(stored) and self._vault.is_of(stored, computed)

    def _fetch(self, digest: str, to: Path) -> None:
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = to.with_name(f"{digest}.{secrets.token_hex(4)}.part")
        plaintext = sha256()
        try:
            with part.open("xb") as file:
                for chunk in self._storage.stream(key_of(digest)):
                    plaintext.update(chunk)
                    file.write(chunk)
            if plaintext.hexdigest() != digest:
                raise _corrupt(digest, self._storage)
            self._decrypt(part)
            part.chmod(0o400)
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    def _decrypt(self, file: Path) -> None:
        """Put the plaintext in the place of stored bytes that are encrypted."""
        with file.open("rb") as stored:
            if not is_sealed(stored.read(HEADER)):
                return
            plain = file.with_suffix(".plain")
            try:
                with plain.open("xb") as sink:
                    sink.writelines(decrypt(partial(_range, stored), self._vault))
                plain.replace(file)
            finally:
                plain.unlink(missing_ok=True)

    def get_folder(self, digest: str, to: Path) -> Path:
        """Lay the folder out under `to`, every file verified and on the disk; return `to`.

        `to` is new, empty, or what a call for this folder left: files that are whole stay, others are replaced.

        Raises:
            DataError: `to` holds something else, or the manifest names a path outside it; nothing is written then.
        """
        manifest = self.manifest(digest)
        if to.exists() and {path.relative_to(to).as_posix() for path in _files(to)} - manifest.keys():
            raise DataError(f"{to} is not empty", hint="Name a new or empty folder.")
        due = {path: blob for path, blob in manifest.items() if not self._is_good(to / path, blob)}
        for path, copy in zip(due, _beside(self.path, due.values()), strict=True):
            target = to / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # a process that has the old file keeps it
            with copy.open("rb") as source, target.open("xb") as sink:
                while chunk := source.read(_CHUNK):
                    sink.write(chunk)
                sink.flush()
                os.fsync(sink.fileno())
        to.mkdir(parents=True, exist_ok=True)
        return to

    def manifest(self, digest: str) -> dict[str, str]:
        """Return a folder's manifest, relative path → digest, with every path checked to stay inside."""
        try:
            manifest = msgspec.json.decode(self.get(digest), type=dict[str, str])
        except msgspec.DecodeError as error:
            raise DataError(f"blob {digest} is not a folder's manifest: {error}") from None
        for path, blob in manifest.items():
            key_of(blob)
            if not is_inside(path) or re.search(r"[\\:]", path):  # what another system takes for a folder or a drive
                raise DataError(f"the manifest {digest} names {path!r}, which is not inside the folder")
        return manifest

    # -- keeping -------------------------------------------------------------------------------------------------------

    def verify(self) -> Iterator[tuple[Entry, str]]:
        """Read every blob again; yield each with the digest of its bytes, which is not its name where it rotted."""
        for entry in self._storage.list(ROOT):
            computed = sha256()
            with suppress(NotFound):  # collected since it was listed
                for chunk in self._storage.stream(entry.key):
                    computed.update(chunk)
                yield entry, computed.hexdigest()


def entry_of(storage: Storage, digest: str) -> Entry | None:
    """Return what the storage lists of a blob, None where it is not there; needs no key, since no bytes are read."""
    key = key_of(digest)
    return next((entry for entry in storage.list(key) if entry.key == key), None)


def _corrupt(digest: str, storage: Storage) -> Corrupt:
    return Corrupt(
        f"blob {digest} in {storage.describe()} does not match its digest",
        hint="Run `mlopsfw doctor --verify`. Restore the blob from a copy (`mlopsfw import URL --heal`), "
        "or run the step again that made it.",
    )


def decrypt(
    fetch: Callable[[int, int], bytes], vault: Vault | None, start: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """Yield the plaintext of an encrypted blob, or a range of it. Raise `WrongKey` where there is no vault."""
    if vault is None:
        raise WrongKey("a blob is encrypted, and the project has no key", hint='Set [storage] encrypt = "env:NAME".')
    yield from vault.open(fetch, start, length)


def _range(file: IO[bytes], start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _look(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir() or folder.is_symlink():
        raise DataError(f"{folder} is not a folder")
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            mode = (path := Path(parent, name)).lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif not stat.S_ISDIR(mode):
                raise DataError(
                    f"{path} is neither a file nor a folder", hint="Links and devices are not stored. Copy the file."
                )


def is_inside(path: str) -> bool:
    """Return whether a path (parts joined by "/") stays below the folder that it is joined to."""
    pure = PurePosixPath(path)
    plain = path == pure.as_posix() and not pure.is_absolute() and ".." not in pure.parts and path not in {"", "."}
    return plain and "\0" not in path


def _beside(act: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return what `act` returns for each item; a few at once, since each mostly waits for a disk or a network."""
    listed = list(items)
    if len(listed) <= 1:
        return [act(item) for item in listed]
    from concurrent.futures import ThreadPoolExecutor  # costs a start-up what only folders need

    with ThreadPoolExecutor(min(_BESIDE, len(listed))) as pool:
        return list(pool.map(act, listed))
