"""The Delta log of a dataset: written after the events and from them, so that other readers (Spark, DuckDB, Ray) open it too.

A version exists once its event does; the log only repeats it, version N as table version N-1. A process that finds the log behind
completes it in order, each commit at exactly its number. If several processes try at once, one writes and the others see the result.
A killed process leaves a log that is behind, never one that is ahead or wrong. mlopsfw itself reads by manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlopsfw.data.tables import manifest as manifests

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.data.tables.delta_place import DeltaPlace
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

    def version(self) -> int:
        """Return the table's version; -1 if there is no table yet."""
        with self._files.delta() as place:
            return _version(place.open())

    def bring_up(self, versions: Sequence[DatasetVersion]) -> int:
        """Write the commits of `versions` (all, oldest first) that the log lacks; return how many this call wrote."""
        from deltalake.exceptions import CommitFailedError, DeltaError

        written = 0
        while True:
            with self._files.delta() as place:
                table = place.open()
                if (head := _version(table)) + 1 >= len(versions):
                    return written
                try:
                    self._write(place, table, versions, head + 1)
                    place.publish(head + 1)
                except (CommitFailedError, DeltaError):
                    if self.version() <= head:  # no other process wrote it: the failure is real
                        raise
                    continue
            written += 1

    def _write(self, place: DeltaPlace, table: DeltaTable | None, versions: Sequence[DatasetVersion], at: int) -> None:
        """Write the commit of `versions[at]` after the one before it, at which `table` stands."""
        from deltalake import CommitProperties, Schema
        from deltalake.transaction import create_table_with_add_actions

        version = versions[at]
        note = CommitProperties(
            custom_metadata={"mlopsfw.dataset": version.ref, "mlopsfw.digest": version.digest},
            max_commit_retries=0,
        )
        content = manifests.load(version.manifest, self._blobs)
        schema = Schema.from_arrow(_arrow_schema(content))
        if table is None:
            create_table_with_add_actions(
                place.uri,
                schema,
                _adds(content, ()),
                mode="error",
                storage_options=place.options,
                commit_properties=note,
            )
            return
        if back := _same_files(versions, version):
            table.restore(back - 1, commit_properties=note)
            return
        previous = manifests.load(versions[at - 1].manifest, self._blobs)
        if version.mode == "replace" or previous.schema != content.schema:  # then the versions share no file
            table.create_write_transaction(_adds(content, ()), "overwrite", schema, commit_properties=note)
            return
        actions = [*_adds(content, previous.files), *_removes(previous, content)]
        table.create_write_transaction(actions, "append", schema, commit_properties=note)


def _version(table: DeltaTable | None) -> int:
    return -1 if table is None else table.version()


def _same_files(versions: Sequence[DatasetVersion], version: DatasetVersion) -> int:
    """Return the earlier version that has exactly the files of `version`, which still exist; 0 if there is none."""
    origin = versions[version.of - 1] if version.of else version
    return version.of if version.live and origin.live and origin.manifest == version.manifest else 0


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
