"""`UnneededBlobs`: the blobs that only versions need which go, and which of them are old enough to go now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.storage import Entry


class UnneededBlobs(NamedTuple):
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
