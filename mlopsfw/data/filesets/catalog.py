"""`FileSets`: the sets of files of a project, as `Project.filesets` offers them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import check_name

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.data.filesets.adding import Progress
    from mlopsfw.data.filesets.erasure import FileSetErasure
    from mlopsfw.data.filesets.fileset import FileSet
    from mlopsfw.data.filesets.vacuum import FileSetRemoval
    from mlopsfw.kernel.services import Services
    from mlopsfw.kernel.store.vault import Vault


class FileSets:
    """The sets of files of a project.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        vault: Decrypts encrypted blobs; None without encryption.
    """

    def __init__(self, services: Services, store: VersionStore, vault: Vault | None) -> None:
        self._services, self._store, self._vault = services, store, vault

    def open(self, version: DatasetVersion) -> FileSet:
        """Return a version to read. Errors as for `FileSet`."""
        from mlopsfw.data.filesets.fileset import FileSet

        return FileSet(self._services, self._store, version)

    def add(
        self,
        name: str,
        folder: Path,
        message: str = "",
        *,
        append: bool = False,
        force: bool = False,
        run: str = "",
        progress: Progress | None = None,
    ) -> DatasetVersion:
        """Make the files below `folder` the next version of a set.

        Args:
            name: The dataset.
            folder: The files; their paths in the set are relative to it.
            message: A reason, for people.
            append: Keep the set's files under other paths, even those that another process adds meanwhile.
            force: Make a version even if nothing changed.
            run: The run that makes it.
            progress: Called with the files and bytes read so far, and the bytes to read in all.

        Returns:
            The new version, or the newest one with `new=False` if nothing changed.

        Raises:
            DataError: A file below the folder cannot be stored or read, or changed while it was read.
            UsageError: The dataset is a table, or the folder holds the project's state.
        """
        from mlopsfw.data.filesets.adding import Addition, Removed

        check_name(name, "dataset")
        if self._services.workspace.state.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{folder} contains the project's own state, {self._services.workspace.state}",
                hint="Add a folder beside or below it.",
            )
        while True:
            addition = Addition(self._services, self._store, self._store.history(name), folder, append=append)
            same = None if force or run else addition.same()
            try:
                return same or addition.read(progress).commit(message, force=force, run=run)
            except Removed:
                self._services.blobs.doubt()

    @cached_property
    def removal(self) -> FileSetRemoval:
        """The bytes of versions to be removed."""
        from mlopsfw.data.filesets.vacuum import FileSetRemoval

        return FileSetRemoval(self._services, self._vault)

    @cached_property
    def erasure(self) -> FileSetErasure:
        """The bytes of a subject's files."""
        from mlopsfw.data.filesets.erasure import FileSetErasure

        return FileSetErasure(self._services, self._store, self._vault)

    def forget(self, name: str) -> None:
        """Delete the cache of all folders added to a set."""
        from mlopsfw.data.filesets import known

        known.forget(self._services.workspace, name)
