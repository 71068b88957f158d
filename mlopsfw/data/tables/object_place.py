"""A Delta log kept as objects of a storage: fetched into a folder, changed there, and published by `put_if_absent` of the commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.data.tables.delta_place import LOG, DeltaPlace, commit_name
from mlopsfw.kernel.base.errors import NotFound

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from mlopsfw.kernel.roles.storage import Storage

_BESIDE = 8
_TRIES = 5
_ALONE = {"allow_unsafe_rename": "true"}
"""delta-rs commits by a rename, since nobody else writes to the folder: its file system may have no hard links."""


class ObjectPlace(DeltaPlace):
    """A private folder with a copy of the log, in which delta-rs works alone.

    Whether a commit counts, `put_if_absent` of its object decides: of all writers of a version one wins, wherever they are.

    Args:
        storage: Holds the table.
        key: The prefix of its files.
        folder: The folder, new and empty.
        entries: Returns the path and the size of each file of the table, as the storage lists them now.
    """

    def __init__(self, storage: Storage, key: str, folder: Path, entries: Callable[[], Mapping[str, int]]) -> None:
        super().__init__(str(folder), _ALONE)
        self._storage, self._key, self._folder, self._entries = storage, key, folder, entries
        self._fetched: set[str] | None = None

    def open(self, version: int | None = None) -> DeltaTable | None:
        """Return the table, at `version` or at its newest; None if there is no table yet. Raise `DeltaError`."""
        if self._fetched is None:
            self._fetched = self._fetch(whole=version is not None)
        return super().open(version)

    def publish(self, version: int) -> None:
        """Store what delta-rs wrote: what a commit names, then the commit, then checkpoints."""
        from deltalake.exceptions import CommitFailedError

        new = sorted(self._files() - (self._fetched or set()))
        data, commit = [path for path in new if not path.startswith(LOG)], commit_name(version)
        for path in data:
            self._storage.put(f"{self._key}/{path}", self._folder / path)
        if commit in new and not self._creates(commit):
            for path in data:
                self._storage.delete(f"{self._key}/{path}")
            raise CommitFailedError(f"another writer made version {version} of {self._key}")
        for path in new:
            if path.startswith(LOG) and path != commit:
                self._storage.put(f"{self._key}/{path}", self._folder / path)

    def _creates(self, commit: str) -> bool:
        """Return whether the commit in the storage is ours; a commit has a random id, so a lost answer is no doubt."""
        key, ours = f"{self._key}/{commit}", (self._folder / commit).read_bytes()
        return self._storage.put_if_absent(key, ours) or self._storage.get(key) == ours

    def _fetch(self, *, whole: bool) -> set[str]:
        for attempt in range(_TRIES):
            entries = self._entries()
            try:
                self._fetch_log(_needed(entries, whole=whole))
            except NotFound:  # an erasure purged the log since it was listed
                if attempt == _TRIES - 1:
                    raise
                continue
            for path in entries:  # delta-rs asks whether a file is there before it restores a version
                if "/" not in path:
                    (self._folder / path).touch()
            break
        return self._files()

    def _fetch_log(self, paths: Iterable[str]) -> None:
        log = self._folder / LOG
        log.mkdir(exist_ok=True)
        for old in log.iterdir():
            old.unlink()
        with ThreadPoolExecutor(_BESIDE) as pool:
            list(pool.map(self._fetch_one, paths))

    def _fetch_one(self, path: str) -> None:
        (self._folder / path).write_bytes(self._storage.get(f"{self._key}/{path}"))

    def _files(self) -> set[str]:
        return {path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file()}


def _needed(entries: Iterable[str], *, whole: bool) -> list[str]:
    """Return the files of the log that tell the newest version: from the newest checkpoint on. All of them for an older version."""
    numbers = {path: path.removeprefix(LOG).partition(".")[0] for path in entries if path.startswith(LOG)}
    log = {path: int(number) for path, number in numbers.items() if number.isdecimal()}
    first = max((number for path, number in log.items() if ".checkpoint" in path), default=0)
    return [path for path, number in log.items() if whole or number >= first]
