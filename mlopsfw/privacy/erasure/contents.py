"""A set of files without a subject's: which bytes go, the shared blobs that hold others', too, written anew, and indexes that say so.

A content goes when no row that is left has it; so does what a vacuum left among others' bytes, since nobody knows any more whose it was. What
is left of a shared blob becomes a new one; indexes of all versions that name the old one are made anew. Once the versions have the new indexes, nothing leads to the old blobs, and `sweep` drops those that nothing else needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from mlopsfw import gc
from mlopsfw.blobs import entry_of, key_of, size_of
from mlopsfw.datasets.versions import indexes
from mlopsfw.filesets import index, known
from mlopsfw.filesets.index import Place
from mlopsfw.privacy.erasure.blobs import drop
from mlopsfw.privacy.erasure.tombstones import Tombstone

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.datasets.versions import DatasetVersion, History
    from mlopsfw.privacy.subject import Subject
    from mlopsfw.project import Project


class Contents:
    """The bytes of one subject's files leaving one set.

    Args:
        project: The project.
        history: The set as it is.
        subject: Whose files.
    """

    def __init__(self, project: Project, history: History, subject: Subject) -> None:
        self._project, self._subject = project, subject
        self._live = [version for version in history.versions if version.live and version.index]

    @cached_property
    def _rows(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The files that go and those that stay, of all versions: `path` and `digest`."""
        datasets = self._project.datasets
        parts = {file.path: file for version in self._live for file in datasets.manifest(version).files}
        rows = datasets.files(self._live[0].name).scan(list(parts.values()))
        theirs = self._subject.rows(rows.collect_schema())
        rows = rows.select("path", "digest", theirs=False if theirs is None else theirs).unique()
        found = rows.collect(engine="streaming")
        return found.filter("theirs").drop("theirs"), found.filter(~found["theirs"]).drop("theirs")

    @property
    def elsewhere(self) -> list[str]:
        """Paths that stay, and hold the same bytes as a file that goes."""
        theirs, others = self._rows
        return sorted(others.join(theirs, on="digest", how="semi")["path"].unique().to_list())

    @cached_property
    def _indexes(self) -> dict[str, dict[str, Place]]:
        return {digest: index.load(digest, self._project.blobs) for digest in {v.index for v in self._live}}

    @cached_property
    def _left(self) -> dict[str, dict[str, Place]]:
        """Blob → what rows that stay need of it."""
        kept = set(self._rows[1]["digest"].to_list())
        left: dict[str, dict[str, Place]] = {}
        for places in self._indexes.values():
            for name, place in places.items():
                held = left.setdefault(place.blob, {})
                if name in kept:
                    held[name] = place
        return left

    @cached_property
    def touched(self) -> list[str]:
        """The blobs that hold more than is needed: what goes now, and what earlier vacuums and erasures left, of whomever it was."""
        return sorted(blob for blob, left in self._left.items() if self._holds_more(blob, left))

    def _holds_more(self, blob: str, left: Mapping[str, Place]) -> bool:
        return sum(place.size for place in left.values()) < size_of(self._project.storage, blob) or not left

    def indexes(self) -> dict[str, str]:
        """Store what is left; return old index → new one, of those that change."""
        moved = {blob: self._written_anew(blob, self._left[blob]) for blob in self.touched}
        return {
            digest: index.save(_moved(places, moved), self._project.blobs)
            for digest, places in self._indexes.items()
            if any(place.blob in moved for place in places.values())
        }

    def _written_anew(self, blob: str, left: Mapping[str, Place]) -> dict[str, Place]:
        """Store what is left of a shared blob; return where that is. One without anything left is not even read."""
        if not left:
            return {}
        data, pack, starts = self._project.blobs.get(blob), bytearray(), dict[str, int]()
        for name, place in sorted(left.items(), key=lambda item: item[1].start):
            starts[name] = len(pack)
            pack += data[place.start : place.start + place.size]
        new = self._project.blobs.put(bytes(pack))
        return {name: Place(new, starts[name], place.size) for name, place in left.items()}


def _moved(places: Mapping[str, Place], moved: Mapping[str, Mapping[str, Place]]) -> dict[str, Place]:
    """Return the places with what is left of the blobs that were written anew where it is now."""
    found = {name: moved[place.blob].get(name) if place.blob in moved else place for name, place in places.items()}
    return {name: place for name, place in found.items() if place}


def paths(project: Project, names: Iterable[str], pattern: str) -> list[str]:
    """Return the paths that a pattern (`*` is any text, `?` any character) means in the versions of sets that are kept."""
    import polars as pl

    found = set() if {"*", "?"} & set(pattern) else {pattern}
    for version in (v for name in names for v in project.datasets.history(name).versions if v.live and v.index):
        rows = project.datasets.scan(version).filter(pl.col("path").str.contains(_regex(pattern)))
        found |= set(rows.select("path").collect()["path"].to_list())
    return sorted(found)


def _regex(pattern: str) -> str:
    import re

    parts = {"*": ".*", "?": "."}
    return f"(?s)^{''.join(parts.get(letter) or re.escape(letter) for letter in pattern)}$"


def waiting(project: Project, version: DatasetVersion) -> bool:
    """Return whether bytes of a vacuumed version may be stored still: its index is there."""
    return bool(version.index) and entry_of(project.storage, version.index) is not None


def sweep(project: Project, name: str, erasure: str) -> int:
    """Drop the blobs and indexes that no version of a set has any more, and what this machine remembers of its files; return how many blobs."""
    history = project.datasets.history(name)
    kept = {version.index for version in history.versions if version.live}
    named = set(indexes(project.datasets.stream(name).events())) - kept
    told = {digest: blobs for digest in sorted(named) if (blobs := index.blobs_of(digest, project.blobs)) is not None}
    if not told:
        return 0
    known.file_of(project, name).unlink(missing_ok=True)
    stored = {*told, *(blob for blobs in told.values() for blob in blobs)}
    found = gc.unneeded(project.storage, project.ledger, stored, project.vault)
    last = {key_of(digest) for digest in told}
    for entry in sorted(found, key=lambda entry: entry.key in last):  # an index last: only it tells of the others
        drop(project, entry.key.rpartition("/")[2], Tombstone(erasure=erasure))
    return len(found)
