"""The Delta log of a dataset: written after the events and from them, so that other readers (Spark, DuckDB, Ray) open it too.

A version exists once its event does; the log only repeats it, version N as table version N-1. A process that finds the log behind
completes it in order, each commit at exactly its number. If several processes try at once, one writes and the others see the result.
A killed process leaves a log that is behind, never one that is ahead or wrong. mlopsfw itself reads by manifest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.durable import sync
from mlopsfw.data.tables import manifest as manifests
from mlopsfw.data.tables.files import as_storage_error

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.data.tables.files import TableFiles
    from mlopsfw.data.tables.manifest import Manifest
    from mlopsfw.kernel.roles.host import Blobs


class DeltaLog:
    """The log beside the files of one dataset.

    Args:
        files: The table's files.
        blobs: Stores the manifests.
    """

    def __init__(self, files: TableFiles, blobs: Blobs) -> None:
        self._files, self._blobs = files, blobs
        self._uri, self._options = files.location.uri, dict(files.location.options) or None

    def version(self) -> int:
        """Return the table's version; -1 if there is no table yet."""
        table = self._open()
        return -1 if table is None else table.version()

    def bring_up(self, versions: Sequence[DatasetVersion]) -> int:
        """Write the commits of `versions` (all, oldest first) that the log lacks; return how many this call wrote."""
        from deltalake.exceptions import CommitFailedError, DeltaError

        written = 0
        while (head := self.version()) + 1 < len(versions):
            before, version = versions[head] if head >= 0 else None, versions[head + 1]
            origin = versions[version.of - 1] if version.of else version
            back = version.of if version.live and origin.live and origin.manifest == version.manifest else 0
            try:
                self._write(before, version, back)
            except (CommitFailedError, DeltaError):
                if self.version() <= head:  # no other process wrote it: the failure is real
                    raise
                continue
            self._sync(head + 1)
            written += 1
        return written

    def _open(self) -> DeltaTable | None:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        with contextlib.suppress(TableNotFoundError):
            return DeltaTable(self._uri, storage_options=self._options)
        return None

    def _write(self, before: DatasetVersion | None, version: DatasetVersion, back: int) -> None:
        """Write the commit of `version` after `before`. `back`: it has exactly the files of that earlier version, which still exist."""
        from deltalake import CommitProperties, Schema
        from deltalake.transaction import create_table_with_add_actions

        note = CommitProperties(
            custom_metadata={"mlopsfw.dataset": version.ref, "mlopsfw.digest": version.digest},
            max_commit_retries=0,
        )
        content = manifests.load(version.manifest, self._blobs)
        schema = Schema.from_arrow(_arrow_schema(content))
        if before is None:
            create_table_with_add_actions(
                self._uri,
                schema,
                _adds(content, ()),
                mode="error",
                storage_options=self._options,
                commit_properties=note,
            )
            return
        table = self._open()
        if table is None or table.version() != before.table_version:
            return
        if back:
            table.restore(back - 1, commit_properties=note)
            return
        previous = manifests.load(before.manifest, self._blobs)
        if version.mode == "replace" or previous.schema != content.schema:  # then the versions share no file
            table.create_write_transaction(_adds(content, ()), "overwrite", schema, commit_properties=note)
            return
        actions = [*_adds(content, previous.files), *_removes(previous, content)]
        table.create_write_transaction(actions, "append", schema, commit_properties=note)

    def _sync(self, version: int) -> None:
        """Make a local commit durable, so that a power failure leaves no torn log."""
        if self._files.folder is None:
            return
        log = self._files.folder / "_delta_log"
        with as_storage_error(f"syncing {log}"):
            for path in (log / f"{version:020}.json", log, self._files.folder):
                sync(path)


def _arrow_schema(content: Manifest) -> Any:
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(content.schema))


def _adds(content: Manifest, previous: Sequence[manifests.DataFile]) -> list[Any]:
    from deltalake.transaction import AddAction

    old = {file.path for file in previous}
    return [
        AddAction(file.path, file.size, {}, file.modified, data_change=True, stats=file.stats)
        for file in content.files
        if file.path not in old
    ]


def _removes(previous: Manifest, content: Manifest) -> list[Any]:
    from deltalake.transaction import RemoveAction

    paths = {file.path for file in content.files}
    now = max(file.modified for file in content.files)
    return [
        RemoveAction(file.path, data_change=True, deletion_timestamp=now, size=file.size, partition_values={})
        for file in previous.files
        if file.path not in paths
    ]
