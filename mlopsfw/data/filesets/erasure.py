"""Erase a subject's files from a set: find the contents to delete, rewrite shared blobs, and write new indexes.

A content goes when no remaining row has it. Leftovers of a vacuum in shared blobs go, too, since nobody knows any more whose they were. The
remaining contents of a shared blob become a new blob, and every version that names the old blob gets a new index. Once the versions have their
new indexes, nothing leads to the old blobs, and `sweep` deletes those that nothing else needs.

"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from mlopsfw.data.datasets.removal.removals import outlasting
from mlopsfw.data.datasets.versions import indexes
from mlopsfw.data.filesets import index
from mlopsfw.data.filesets.index import Location
from mlopsfw.data.filesets.packs import SMALL
from mlopsfw.data.filesets.vacuum import FileSetRemoval
from mlopsfw.governance.removal import drop
from mlopsfw.kernel.store.blobs import entry_of, key_of
from mlopsfw.kernel.store.tombstones import Tombstone
from mlopsfw.operations import gc
from mlopsfw.operations.plaintext import size_of

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import DatasetVersion, History
    from mlopsfw.kernel.component import Subject
    from mlopsfw.kernel.services import Services
    from mlopsfw.kernel.store.vault import Vault


class Contents:
    """The erasure of one subject's files from one set.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        history: The set as it is.
        subject: Whose files.
    """

    def __init__(self, services: Services, store: VersionStore, history: History, subject: Subject) -> None:
        self._services, self._store, self._subject = services, store, subject
        self._live = [version for version in history.versions if version.live and version.index]

    @property
    def elsewhere(self) -> list[str]:
        """The remaining paths that have the same bytes as an erased file, in any version."""
        store = self._store
        parts = {file.path: file for version in self._live for file in store.manifest(version).files}
        marked_rows = self._distinct(store.files(self._live[0].name).scan(list(parts.values()))).unique()
        erased, others = marked_rows.filter("theirs"), marked_rows.filter(~marked_rows["theirs"])
        return sorted(others.join(erased, on="digest", how="semi")["path"].unique().to_list())

    def _distinct(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Return `path` and `digest` of files, and `theirs`: whether they are files of the subject."""
        is_subject = self._subject.rows(rows.collect_schema())
        return rows.select("path", "digest", theirs=False if is_subject is None else is_subject).collect(
            engine="streaming"
        )

    @cached_property
    def _indexes(self) -> dict[str, dict[str, Location]]:
        blobs = self._services.blobs
        return {digest: index.locations(index.load(digest, blobs)) for digest in {v.index for v in self._live}}

    @cached_property
    def _left(self) -> dict[str, dict[str, Location]]:
        """Blob → the contents of it that remaining rows need."""
        remaining: dict[str, dict[str, Location]] = {}
        for version in self._live:
            needed, _ = self._needed[version.version]
            for name, location in self._indexes[version.index].items():
                in_blob = remaining.setdefault(location.blob, {})
                if name in needed:
                    in_blob[name] = location
        return remaining

    @cached_property
    def _needed(self) -> dict[int, tuple[set[str], bool]]:
        """Version → the contents of its remaining rows, and whether it loses some."""
        return {version.version: self._needed_by(version) for version in self._live}

    def _needed_by(self, version: DatasetVersion) -> tuple[set[str], bool]:
        marked_rows = self._distinct(self._store.scan(version))
        return set(marked_rows.filter(~marked_rows["theirs"])["digest"].to_list()), bool(marked_rows["theirs"].any())

    @cached_property
    def touched(self) -> list[str]:
        """The blobs that hold more than needed: contents erased now, and leftovers of earlier vacuums and erasures."""
        return sorted(blob for blob, remaining in self._left.items() if self._holds_more(blob, remaining))

    def _holds_more(self, blob: str, remaining: Mapping[str, Location]) -> bool:
        if not remaining:
            return True
        size = sum(location.size for location in remaining.values())
        return all(location.size <= SMALL for location in remaining.values()) and size < size_of(
            self._services.storage, blob
        )

    def indexes(self) -> dict[int, str]:
        """Store the remaining contents; return version → its new index, for the versions that get one."""
        moved = {blob: self._written_anew(blob, self._left[blob]) for blob in self.touched}
        changing = [v for v in self._live if self._needed[v.version][1] or self._names(v, moved)]
        new = [(version, self._index(version, moved)) for version in changing]
        return {version.version: digest for version, digest in new if digest != version.index}

    def _names(self, version: DatasetVersion, moved: Mapping[str, object]) -> bool:
        return any(location.blob in moved for location in self._indexes[version.index].values())

    def _index(self, version: DatasetVersion, moved: Mapping[str, Mapping[str, Location]]) -> str:
        needed, _ = self._needed[version.version]
        locations = {name: location for name, location in self._indexes[version.index].items() if name in needed}
        now = {
            name: moved[location.blob][name] if location.blob in moved else location
            for name, location in locations.items()
        }
        frame = index.frame(now.items())
        return index.save(frame, frame.select("digest"), self._services.blobs)

    def _written_anew(self, blob: str, remaining: Mapping[str, Location]) -> dict[str, Location]:
        """Store the remaining contents of a shared blob; return their locations. Does not read a blob without any."""
        if not remaining:
            return {}
        data, pack, starts = self._services.blobs.get(blob), bytearray(), dict[str, int]()
        for name, location in sorted(remaining.items(), key=lambda item: item[1].start):
            starts[name] = len(pack)
            pack += data[location.start : location.start + location.size]
        new = self._services.blobs.put(bytes(pack))
        return {name: Location(new, starts[name], location.size) for name, location in remaining.items()}


class FileSetErasure:
    """Erases subjects from sets of files.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        vault: Decrypts encrypted blobs; None without encryption.
    """

    def __init__(self, services: Services, store: VersionStore, vault: Vault | None) -> None:
        self._services, self._store, self._vault = services, store, vault

    def indexes(self, history: History, subject: Subject) -> dict[int, str]:
        """Store the contents without the subject; return version → its new index, for the versions that get one."""
        return Contents(self._services, self._store, history, subject).indexes()

    def elsewhere(self, name: str, subject: Subject) -> list[str]:
        """Return the remaining paths with the same bytes as an erased file; none for a table."""

        def look() -> list[str]:
            history = self._store.history(name)
            is_set = any(version.live and version.index for version in history.versions)
            return Contents(self._services, self._store, history, subject).elsewhere if is_set else []

        return outlasting(self._store, name, look)

    def paths(self, names: Iterable[str], pattern: str) -> list[str]:
        """Return the paths that match a pattern (`*` is any text, `?` any character) in the existing versions of sets."""
        import polars as pl

        paths = set() if {"*", "?"} & set(pattern) else {pattern}
        for version in (v for name in names for v in self._store.history(name).versions if v.live and v.index):
            rows = self._store.scan(version).filter(pl.col("path").str.contains(_regex(pattern)))
            paths |= set(rows.select("path").collect()["path"].to_list())
        return sorted(paths)

    def waiting(self, version: DatasetVersion) -> bool:
        """Return whether bytes of a vacuumed version may still be stored: whether its index is."""
        return bool(version.index) and entry_of(self._services.storage, version.index) is not None

    def sweep(self, name: str, erasure: str) -> int:
        """Delete the blobs and indexes that no version of a set has any more; return how many."""
        history = self._store.history(name)
        live_indexes = {version.index for version in history.versions if version.live}
        named = set(indexes(self._store.stream(name).events())) - live_indexes
        listings = {
            digest: listing
            for digest in sorted(named)
            if (listing := index.reachable(digest, self._services.blobs)) is not None
        }
        if not listings:
            return 0
        blobs = {blob for listing in listings.values() for blob in listing.blobs}
        segments = {segment for listing in listings.values() for segment in listing.segments}
        released = {"": FileSetRemoval(self._services, self._vault).released()}
        every = [*sorted(blobs), *sorted(segments), *listings]  # blobs that name others go after them
        going = {entry.key for entry in gc.unneeded(self._services.ledger, every, self._vault, released)}
        dropped = [digest for digest in every if key_of(digest) in going]
        for digest in dropped:
            drop(self._services, digest, Tombstone(erasure=erasure))
        return len(dropped)


def _regex(pattern: str) -> str:
    import re

    parts = {"*": ".*", "?": "."}
    return f"(?s)^{''.join(parts.get(letter) or re.escape(letter) for letter in pattern)}$"
