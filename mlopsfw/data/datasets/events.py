"""What datasets write to their streams, `dataset/NAME`."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from mlopsfw.kernel.events.record import Blob, EventRecord, Text
from mlopsfw.privacy.treatments import Mark


class VersionOrigin(TypedDict, total=False):
    """What a version was made of.

    Args:
        how: Digest of how its sources are read; `files` for a set of files.
        files: Source, as people read it → what tells that it changed.
        index: The index of a set of files.
    """

    how: str
    files: dict[str, Any]
    index: Blob


class VersionRecord(EventRecord, frozen=True, kw_only=True):
    """A dataset got a version: what the events of each way to get it hold.

    Args:
        table_version: The version of the Delta table that holds it.
        version: From 1, without gaps.
        digest: Digest of the logical content.
        rows: How many rows it has.
        columns: Column → logical type, in order.
        mode: `append`, `replace`, `upsert`, `incremental`, `restore` or `reference`.
        source: Where the rows came from, for people.
        origin: What shows whether its sources change, and the index of a set of files.
        message: Why, for people.
        manifest: Lists the version's files; empty for a reference.
        added: Digest of the rows that came to those there were.
        watermark: Of an incremental load: `column`, its greatest `value` so far, and that value's `type`.
        intake: What did not fit: how many rows were `quarantined`, in which `batch`; the columns that were `ignored`.
        pii: Personal column → how it was treated before it was stored.
        restored: The version that a restore brought back; 0 for none.
        uri: What a reference points at.
        pin: What shows that a reference's content has not changed: a table's version, digests of files, or an ETag.
        run: The run that made it, if one did.
    """

    table_version: int | None = None
    version: int
    digest: str
    rows: int
    columns: dict[str, str] = {}
    mode: str
    source: str = ""
    origin: VersionOrigin = {}
    message: Text = ""
    manifest: Blob = ""
    added: str = ""
    watermark: dict[str, Any] = {}
    intake: dict[str, Any] = {}
    pii: dict[str, Mark] = {}
    restored: int = msgspec.field(name="of", default=0)
    uri: str = ""
    pin: dict[str, Any] = {}
    run: str = ""


class DatasetCommitted(VersionRecord, frozen=True, kw_only=True):
    """Rows were committed as a version."""

    type = "dataset.committed"
    streams = ("dataset/DATASET",)


class DatasetRestored(VersionRecord, frozen=True, kw_only=True):
    """An earlier version was made the newest again."""

    type = "dataset.restored"
    streams = ("dataset/DATASET",)


class DatasetReferenced(VersionRecord, frozen=True, kw_only=True):
    """An outside table was registered as a version."""

    type = "dataset.referenced"
    streams = ("dataset/DATASET",)


class BrokenRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a contract that rows broke.

    Args:
        rule: The rule.
        columns: The columns that it is about.
        level: `fail` or `warn`.
        rows: How many rows broke it.
    """

    rule: str
    columns: tuple[str, ...]
    level: str
    rows: int


class DatasetChecked(EventRecord, frozen=True, kw_only=True):
    """A version was checked against a contract.

    Args:
        version: The version.
        contract: The contract's file.
        contract_digest: Digest of that file.
        rows: How many rows were checked.
        rules: How many rules were judged.
        passed: Whether no rule failed.
        failed: How many rules failed.
        broken: The rules that failed, and those that warned.
    """

    type = "dataset.checked"
    streams = ("dataset/DATASET",)
    version: int
    contract: str = ""
    contract_digest: str = ""
    rows: int = 0
    rules: int = 0
    passed: bool
    failed: int
    broken: tuple[BrokenRule, ...] = ()

    @property
    def verdict(self) -> str:
        """What was found, in a word or two."""
        return "passed" if self.passed else f"{self.failed} {'rule' if self.failed == 1 else 'rules'} broken"


class RewrittenVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version that an erasure changed.

    Args:
        version: The version.
        was: Digest of its content before.
        digest: Digest of its content now.
        rows: How many rows it has now.
        old: Its manifest before.
        new: Its manifest now.
        new_index: The new index of a set of files; empty for a vacuumed version, null where it keeps its own.
    """

    version: int
    was: str
    digest: str
    rows: int
    old: Blob
    new: Blob
    new_index: Blob | None = None


class DatasetErased(EventRecord, frozen=True, kw_only=True):
    """A person's rows were erased from versions.

    Args:
        erasure: The erasure's id.
        subject: Keyed digest of the person.
        versions: The versions whose content changed.
        files: The files that were replaced; no version that an erasure changed has them any more, and the sweep deletes them.
    """

    type = "dataset.erased"
    streams = ("dataset/DATASET",)
    erasure: str
    subject: str
    versions: tuple[RewrittenVersion, ...]
    files: tuple[str, ...]


class DatasetSwept(EventRecord, frozen=True, kw_only=True):
    """The files that erasures had replaced were deleted.

    Args:
        erasures: The ids of the erasures.
    """

    type = "dataset.swept"
    streams = ("dataset/DATASET",)
    erasures: tuple[str, ...]


class DatasetVacuumed(EventRecord, frozen=True, kw_only=True):
    """Versions are no longer kept.

    Args:
        versions: The versions.
        files: How many files and blobs were deleted.
        freed: Their bytes.
        forced: Version that was removed although something needs it → what breaks.
    """

    type = "dataset.vacuumed"
    streams = ("dataset/DATASET",)
    versions: tuple[int, ...]
    files: int = 0
    freed: int = 0
    forced: dict[str, list[str]]


class DatasetRevived(EventRecord, frozen=True, kw_only=True):
    """Vacuumed versions were needed after all, before their files went.

    Args:
        versions: The versions.
    """

    type = "dataset.revived"
    streams = ("dataset/DATASET",)
    versions: tuple[int, ...]


class DatasetSettled(EventRecord, frozen=True, kw_only=True):
    """The rows that a version's load set aside were dealt with.

    Args:
        version: The version.
        message: What was done, for people.
    """

    type = "dataset.settled"
    streams = ("dataset/DATASET",)
    version: int
    message: Text = ""


class DatasetTagged(EventRecord, frozen=True, kw_only=True):
    """A tag was put on a version, or moved there.

    Args:
        tag: The tag.
        version: The version that it is on now.
        was: The version that it was on; 0 for none.
        message: Why, for people.
    """

    type = "dataset.tagged"
    streams = ("dataset/DATASET",)
    tag: str
    version: int
    was: int
    message: Text = ""


class DatasetUntagged(EventRecord, frozen=True, kw_only=True):
    """A tag was taken away.

    Args:
        tag: The tag.
        was: The version that it was on.
    """

    type = "dataset.untagged"
    streams = ("dataset/DATASET",)
    tag: str
    was: int


VERSION_EVENTS: dict[str, type[VersionRecord]] = {
    record.type: record for record in (DatasetCommitted, DatasetRestored, DatasetReferenced)
}
"""The ways to get a version, by type."""

EVENTS: tuple[type[EventRecord], ...] = (
    DatasetCommitted,
    DatasetRestored,
    DatasetReferenced,
    DatasetChecked,
    DatasetErased,
    DatasetSwept,
    DatasetVacuumed,
    DatasetRevived,
    DatasetSettled,
    DatasetTagged,
    DatasetUntagged,
)
