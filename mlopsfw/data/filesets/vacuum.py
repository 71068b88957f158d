"""The bytes of sets of files that no version needs any more: the blobs of vacuumed versions, their indexes among them.

Other sets, or a step's value, may have a blob of the same bytes: what is left is what `gc` would find. It goes as `gc` lets it go,
too, since somebody may be about to name a blob that he found stored: one younger than two days waits for the next vacuum or `gc`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mlopsfw.data.filesets import index
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.kernel.store.blobs import entry_of, key_of
from mlopsfw.operations import gc

if TYPE_CHECKING:
    from mlopsfw.data.datasets.versions import DatasetVersion, History
    from mlopsfw.kernel.roles.storage import Entry
    from mlopsfw.project.facade import Project


class Left(NamedTuple):
    """What only versions need that go: blobs; and segments and then indexes, which tell of them, and go when no blob waits."""

    blobs: list[Entry]
    indexes: list[Entry]

    def split(self, limit: float) -> tuple[list[Entry], list[Entry]]:
        """Return what may go now, and what is younger than the moment `limit`."""
        young = [entry for entry in self.blobs if entry.modified > limit]
        old = [entry for entry in self.blobs if entry.modified <= limit]
        if young:
            return old, [*young, *self.indexes]
        waiting = [entry for entry in self.indexes if entry.modified > limit]
        return [*old, *(entry for entry in self.indexes if entry.modified <= limit)], waiting


def only_in(project: Project, versions: Iterable[DatasetVersion], history: History) -> Left:
    """Return what nothing but these versions of a set needs; nothing for a table."""
    numbers = {version.version for version in versions}
    kept = {version.index for version in history.versions if version.live and version.version not in numbers}
    indexes = sorted({history.get(number).index for number in numbers} - kept - {""})
    found = {digest: told for digest in indexes if (told := index.told(digest, project.blobs)) is not None}
    if not found:
        return Left([], [])
    segments = {segment for told in found.values() for segment in told.segments}
    blobs = {blob for told in found.values() for blob in told.blobs}
    refs = [history.get(number).ref for number in numbers]
    going = gc.unneeded(project.storage, project.ledger, {*blobs, *segments, *found}, project.vault, refs)
    by_key = {entry.key: entry for entry in going}
    left = [[by_key[key] for key in map(key_of, sorted(names)) if key in by_key] for names in (blobs, segments, found)]
    return Left(left[0], [*left[1], *left[2]])


def limit(project: Project) -> float:
    """Return the moment, by the store's clock, before which a blob was stored that may go."""
    return gc.store_time(project.storage) - gc.SAFE


def remove(project: Project, left: Left) -> None:
    """Delete what may go now, an index after what it names. Where a `gc` is at work, the next one does it."""
    if not any(left):
        return
    now, _ = left.split(limit(project))
    with suppress(Conflict):
        list(gc.delete(project.storage, now, gc.store_time(project.storage)))
    project.blobs.doubt()


def whole(project: Project, version: DatasetVersion) -> bool:
    """Return whether all the blobs of a version are there; also of a table, which has none."""
    if not version.index:
        return True
    told = index.told(version.index, project.blobs)
    return told is not None and all(entry_of(project.storage, each) for each in (*told.blobs, *told.segments))
