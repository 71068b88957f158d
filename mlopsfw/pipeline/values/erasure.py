"""Blobs with a subject's rows: a step's table is rewritten, anything else in which the subject's texts stand is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.governance.text_search import holds, pattern
from mlopsfw.kernel.base.errors import Erased, NotFound
from mlopsfw.kernel.roles.artifact import Artifact

if TYPE_CHECKING:
    from mlopsfw.governance.subject import Subject
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.pipeline.values.codec import Values

_TEXTS = ("logs", "traceback", "report", "page")


class Named(NamedTuple):
    """A blob that events name: its digest and what it is."""

    digest: str
    kind: str


class Found(NamedTuple):
    """What was found in a blob: how many rows, or None where it is dropped as a whole; `kept` where only said so."""

    digest: str
    kind: str
    rows: int | None


def named(events: Iterable[Event]) -> Iterator[Named]:
    """Yield the blobs of values, logs, reports and bundles that events name."""
    for event in events:
        yield from _in(event.body)


def _in(value: Any) -> Iterator[Named]:
    if isinstance(value, dict):
        if value.keys() >= {"kind", "blob", "digest"}:
            with suppress(msgspec.ValidationError):
                artifact = msgspec.convert(value, Artifact)
                if artifact.blob:
                    yield Named(artifact.blob, artifact.kind)
        for key, inner in value.items():
            if key in _TEXTS and isinstance(inner, str) and inner:
                yield Named(inner, "text")
            else:
                yield from _in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _in(inner)


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

    def look(self, blob: Named) -> Found | None:
        """Return what is found in a blob; None for nothing, also where it is gone."""
        try:
            if blob.kind == "table" and (rows := self._rows(blob.digest)):
                return Found(blob.digest, blob.kind, rows)
            return Found(blob.digest, blob.kind, None) if self._stands_in(blob) else None
        except (NotFound, Erased):
            return None

    def _rows(self, digest: str) -> int:
        frame = self._scan(digest)
        theirs = self._subject.rows(frame.collect_schema())
        return 0 if theirs is None else int(frame.select(theirs.sum()).collect(engine="streaming").item())

    def _scan(self, digest: str) -> Any:
        import polars as pl

        return pl.scan_ipc(self._blobs.path(digest))

    def _stands_in(self, blob: Named) -> bool:
        if self._wanted is None:
            return False
        if blob.kind in ("folder", "bundle"):
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
