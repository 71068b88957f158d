"""`UnneededBlobs`: the blobs that only removed versions need, and which of them are old enough to delete now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.storage import Entry


class UnneededBlobs(NamedTuple):
    """The blobs that only removed versions need: contents, then segments and indexes, which are deleted only when no content waits."""

    blobs: list[Entry]
    indexes: list[Entry]

    def split(self, limit: float) -> tuple[list[Entry], list[Entry]]:
        """Return the blobs to delete now, and those younger than the moment `limit`."""
        young = [entry for entry in self.blobs if entry.modified > limit]
        old = [entry for entry in self.blobs if entry.modified <= limit]
        if young:
            return old, [*young, *self.indexes]
        waiting = [entry for entry in self.indexes if entry.modified > limit]
        return [*old, *(entry for entry in self.indexes if entry.modified <= limit)], waiting
