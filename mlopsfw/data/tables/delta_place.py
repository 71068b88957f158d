"""Where delta-rs opens a table and commits to it, and what makes a commit durable there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mlopsfw.capturelog.disk import as_storage_error
from mlopsfw.capturelog.durable import sync

if TYPE_CHECKING:
    from deltalake import DeltaTable

LOG = "_delta_log/"
"""Where the log of a Delta table lies, below its location."""


def commit_name(version: int) -> str:
    """Return the path of a commit, below the table's location."""
    return f"{LOG}{version:020}.json"


class DeltaPlace:
    """A place in a bucket: delta-rs writes it durable itself.

    Args:
        uri: What delta-rs opens.
        options: Its options.
    """

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        self.uri, self.options = uri, dict(options or {}) or None

    def open(self, version: int | None = None) -> DeltaTable | None:
        """Return the table, at `version` or at its newest; None if there is no table yet. Raise `DeltaError`."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        with contextlib.suppress(TableNotFoundError):
            return DeltaTable(self.uri, version=version, storage_options=self.options)
        return None

    def publish(self, version: int) -> None:
        """Make the commit of `version`, and what was written with it, durable and visible to every reader.

        Raises:
            CommitFailedError: Another writer has made this version.
            StorageError: It cannot be written.
        """


class FolderPlace(DeltaPlace):
    """A folder of this machine: delta-rs leaves its files, its log and their folders in the page cache.

    Args:
        uri: What delta-rs opens.
        folder: The same as a path.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        super().__init__(uri)
        self._folder = folder

    def publish(self, version: int) -> None:
        """Make a commit durable."""
        log = self._folder / LOG
        commit = self._folder / commit_name(version)
        with as_storage_error(f"syncing {self._folder}"):
            for line in commit.read_text().splitlines():
                if added := json.loads(line).get("add"):
                    with contextlib.suppress(FileNotFoundError):  # of an old version, whose files a vacuum removed
                        sync(self._folder / unquote(added["path"]))
            for path in (commit, *log.glob(f"{version:020}.checkpoint*"), *log.glob("_last_checkpoint")):
                sync(path)
            for path in (log, self._folder, self._folder.parent):
                sync(path)
