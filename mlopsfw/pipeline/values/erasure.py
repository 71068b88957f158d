"""Blobs with a subject's rows: a step's table is rewritten, anything else in which the subject's texts stand is dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.governance.text_search import files_with, holds, pattern
from mlopsfw.kernel.base.errors import Erased, NotFound
from mlopsfw.kernel.component import Held

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.kernel.component import ErasureScope, Subject
    from mlopsfw.kernel.events.registry import BlobReference, EventTypes
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.services import Services
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.pipeline.values.codec import Values


class Found(NamedTuple):
    """What was found in a blob: how many rows, or None where it is dropped as a whole."""

    digest: str
    kind: str
    rows: int | None


def searchable(events: Iterable[Event], types: EventTypes) -> Iterator[BlobReference]:
    """Yield the blobs of values, logs, reports and bundles that events refer to, each with what it holds.

    People's words go with their author's key, and what else the kernel keeps (a configuration, a list of what is
    installed) holds no rows.
    """
    for event in events:
        yield from (blob for blob in types.blobs(event) if blob.holds not in {"", "words"})


class BlobSearch:
    """Looks for a subject in blobs.

    Args:
        blobs: Where they are kept.
        values: Stores what is left of a table.
        subject: Who.
    """

    def __init__(self, blobs: BlobStore, values: Values, subject: Subject) -> None:
        self._blobs, self._values, self._subject = blobs, values, subject
        self._wanted = pattern(subject.words)

    def look(self, blob: BlobReference) -> Found | None:
        """Return what is found in a blob; None for nothing, also where it is gone."""
        try:
            if blob.holds == "table" and (rows := self._rows(blob.digest)):
                return Found(blob.digest, blob.holds, rows)
            return Found(blob.digest, blob.holds, None) if self._stands_in(blob) else None
        except (NotFound, Erased):
            return None

    def _rows(self, digest: str) -> int:
        frame = self._scan(digest)
        theirs = self._subject.rows(frame.collect_schema())
        return 0 if theirs is None else int(frame.select(theirs.sum()).collect(engine="streaming").item())

    def _scan(self, digest: str) -> Any:
        import polars as pl

        return pl.scan_ipc(self._blobs.path(digest))

    def _stands_in(self, blob: BlobReference) -> bool:
        if self._wanted is None:
            return False
        if blob.holds in ("folder", "bundle"):
            files = self._blobs.manifest(blob.digest).values()
            return any(holds(self._blobs.get(file), self._wanted) for file in files)
        return holds(self._blobs.get(blob.digest), self._wanted)

    def rewritten(self, found: Found) -> str:
        """Return the blob with what is left of a table; nothing for what is dropped."""
        if found.rows is None:
            return ""
        frame = self._scan(found.digest)
        theirs = self._subject.rows(frame.collect_schema())
        left = frame if theirs is None else frame.filter(~theirs)
        return self._values.store(left, "what is left").blob

    def members(self, found: Found) -> list[str]:
        """Return the digests that go with a blob: a folder's files in which the subject stands, and itself."""
        if found.kind != "folder" or self._wanted is None:
            return [found.digest]
        files = self._blobs.manifest(found.digest).values()
        return [*(file for file in files if holds(self._blobs.get(file), self._wanted)), found.digest]


class BlobHolding:
    """Implements `mlopsfw.kernel.component.Holding` for the blobs that certain streams name, and for files beside them.

    Args:
        services: The kernel's.
        values: Stores what is left of a table.
        streams: Returns the streams whose events name the blobs.
        folders: Returns the folders of this machine in which copies of what such blobs hold may lie.
    """

    def __init__(
        self,
        services: Services,
        values: Values,
        streams: Callable[[ErasureScope], Iterable[str]],
        folders: Callable[[ErasureScope], Iterable[Path]],
    ) -> None:
        self._services, self._values, self._streams, self._folders = services, values, streams, folders

    def find(self, scope: ErasureScope) -> Held:
        """Return how many `tables` and other values hold something of the subject, and which bundles do."""
        return self._held(self._hits(BlobSearch(self._services.blobs, self._values, scope.subject), scope), 0)

    def erase(self, scope: ErasureScope) -> Held:
        """Rewrite tables, drop other values, and leave bundles; remove local files in which a text stands."""
        search = BlobSearch(self._services.blobs, self._values, scope.subject)
        hits = self._hits(search, scope)
        doomed = [hit for hit in hits if hit.kind != "bundle"]
        if doomed:
            scope.bury([(digest, search.rewritten(hit)) for hit in doomed for digest in search.members(hit)])
        files = [file for folder in self._folders(scope) for file in files_with(folder, scope.subject.words)]
        for file in files:
            file.unlink()
        return self._held(hits, len(files))

    def _hits(self, search: BlobSearch, scope: ErasureScope) -> list[Found]:
        ledger = self._services.ledger
        blobs = {
            blob for name in self._streams(scope) for blob in searchable(ledger.stream(name).events(), ledger.types)
        }
        return [hit for blob in sorted(blobs) if (hit := search.look(blob))]

    @staticmethod
    def _held(hits: list[Found], files: int) -> Held:
        values = [hit for hit in hits if hit.kind != "bundle"]
        rewritten = sum(hit.rows is not None for hit in values)
        bundles = [hit.digest for hit in hits if hit.kind == "bundle"]
        return Held({"tables": rewritten, "dropped": len(values) - rewritten, "bundles": bundles, "files": files})
