"""Versions that write no rows: an outside table registered by reference, or an earlier version made the newest again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlopsfw.data.datasets import personal_columns, pins
from mlopsfw.data.datasets.events import DatasetReferenced, DatasetRestored, VersionRecord
from mlopsfw.data.datasets.versions import DatasetVersion, History
from mlopsfw.data.tables import columns
from mlopsfw.data.tables.digest import TableDigest, record_batches
from mlopsfw.kernel.base.errors import Conflict, UsageError
from mlopsfw.kernel.roles.reading import ReadOptions

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore


def refer(
    datasets: VersionStore, name: str, uri: str, message: str, options: ReadOptions, *, run: str, force: bool
) -> DatasetVersion:
    """Register the table at `uri` (absolute); arguments and errors as for `Datasets.reference`."""
    personal_columns.refuse_reference(name, datasets.treatment(name))
    pinned = datasets.pin(uri)
    if options != ReadOptions():
        if pinned["kind"] == "delta":
            raise UsageError(
                f"{uri} is a Delta table, which takes no options", hint="Omit --type, --null and the others."
            )
        pinned["options"] = {
            "separator": options.separator,
            "null": list(options.null),
            "encoding": options.encoding,
            "types": options.types,
        }
    batches = record_batches(datasets.scan_outside(uri, pinned))
    first = next(batches)
    digest = TableDigest(first.schema)
    for batch in itertools.chain((first,), batches):
        digest.update(batch)
    total, _ = digest.finish()
    facts = DatasetVersion(
        name=name, version=0, digest=total, rows=digest.rows, columns=columns.describe(first.schema),
        mode="reference", source=uri, message=message, uri=uri, pin=pinned, run=run,
    )  # fmt: skip
    return _append(datasets, name, DatasetReferenced, lambda history: _referenced(history, facts, force=force))


def _referenced(history: History, facts: DatasetVersion, *, force: bool) -> DatasetVersion:
    latest = history.latest
    if latest and latest.mode != "reference":
        raise UsageError(
            f"dataset {history.name!r} holds rows of its own", hint="Register the table under another name."
        )
    if (
        latest
        and not force
        and (latest.digest, latest.uri) == (facts.digest, facts.uri)
        and pins.same(latest.pin, facts.pin)
    ):
        return replace(latest, new=False)
    return replace(facts, version=len(history.versions) + 1)


def restore(datasets: VersionStore, name: str, version: int, message: str) -> DatasetVersion:
    """Make an earlier version the newest one again; arguments and errors as for `Datasets.restore`."""

    def again(history: History) -> DatasetVersion:
        old, latest = history.get(version).readable(), history.get(None)
        personal_columns.refuse_clear(old, datasets.treatment(name))
        if old.digest == latest.digest and old.pin == latest.pin:
            return replace(latest, new=False)
        return replace(
            old,
            version=len(history.versions) + 1,
            mode="reference" if old.mode == "reference" else "restore",
            of=version,
            source=f"version {version}",
            message=message,
            added="",
            run="",
            erased=(),
            erased_rows=0,
            tags=(),
        )

    restored = _append(datasets, name, DatasetRestored, again)
    if restored.new and restored.mode != "reference":
        datasets.bring_up(name)
    return restored


def _append(
    datasets: VersionStore, name: str, kind: type[VersionRecord], decide: Callable[[History], DatasetVersion]
) -> DatasetVersion:
    """Append the version that `decide` makes from the newest history. Decide again after a lost race for its number."""
    while True:
        history = datasets.history(name)
        version = decide(history)
        if not version.new:
            return version
        try:
            event = datasets.stream(name).append(version.record(kind), expecting=history.seq)
        except Conflict:
            continue
        return replace(version, time=event.time, actor=event.actor)
