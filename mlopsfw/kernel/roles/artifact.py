"""`Artifact`: a reference to a stored value, which is all that steps exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

ArtifactKind = Literal["json", "table", "file", "folder", "bundle", "dataset", "model"]


@dataclass(frozen=True, slots=True)
class BlobMark:
    """Marks a field that holds a blob's digest.

    Args:
        holds: What the blob holds: a kind of `Artifact`, `text`, or nothing where it is not said.
        holds_field: The field beside it that says so.
    """

    holds: str = ""
    holds_field: str = ""


class Artifact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A stored value by reference.

    Args:
        kind: `json` (a value), `table` (Arrow rows), `file` (bytes), `folder` (a manifest of files), `bundle` (a folder
            that is a model bundle), `dataset` (`name@version` of a dataset), `model` (`name@version` of the registry).
        digest: The logical content's sha256 in hex: equal values have equal digests, however they were written.
            For `table` and `dataset` it is over logical Arrow content, so chunking and compression do not count.
        blob: Digest of the blob that holds it (`json`, `table`, `file`), or of its manifest (`folder`, `bundle`).
        ref: The exact reference that it was taken by, such as `data:/name@3`; a `dataset` or `model` always has one.
        rows: Of a `table` or `dataset` that stands for some of its rows: the first, and the one after the last.
            `digest` is theirs.
        meta: Facts for people and pages: rows, columns, bytes, media type; `note`: a sentence to show with the run.
            Never needed to read the value.
    """

    kind: ArtifactKind
    digest: str
    blob: Annotated[str, BlobMark(holds_field="kind")] = ""
    ref: str = ""
    rows: tuple[int, int] | None = None
    meta: dict[str, Any] = {}
