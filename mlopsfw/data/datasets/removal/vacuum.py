"""`data vacuum`: remove the files of versions that nothing needs. The versions stay in the log with the time of their removal.

1. Append `dataset.vacuumed` at the number after the history that the decision read. Now nothing reads the versions or builds on them.
2. Ask again what needs the versions, since a run may have begun in between; if so, append `dataset.revived`.
3. Delete the files that only vacuumed versions have; for sets of files also blobs, see `mlopsfw.data.filesets.vacuum`.

If the process is killed before 1, nothing has happened. If it is killed later, the next vacuum, erasure or tidying of the dataset does 2 and 3.
The newest version is never removed, so that concurrent commits build on a version that exists. Manifests are kept: they are small, and the
Delta log is written from them.

"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import msgspec

from mlopsfw.data.datasets.events import DatasetRevived, DatasetVacuumed
from mlopsfw.data.datasets.removal.needs import Needs
from mlopsfw.data.datasets.removal.removals import outlasting
from mlopsfw.data.datasets.versions import DatasetVersion, History
from mlopsfw.data.tables import manifest as manifests
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.kernel.config.model import Retention
from mlopsfw.kernel.store.blobs import key_of

if TYPE_CHECKING:
    from mlopsfw.data.datasets.removal.unneeded_blobs import UnneededBlobs
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.kernel.services import Services


class Vacuum(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a vacuum, or of a dry run.

    Args:
        dataset: Its name.
        versions: The removed versions.
        files: The number of removed files, and blobs of file sets.
        freed: Their bytes.
        waiting: Bytes of blobs that are too young to go now: a later vacuum, or `gc`, removes them.
        kept: Versions old enough to go → what needs them.
        forced: Versions removed although something needs them → what that breaks.
        dry_run: Whether this only says what a vacuum would do.
    """

    dataset: str
    versions: tuple[int, ...] = ()
    files: int = 0
    freed: int = 0
    waiting: int = 0
    kept: Needs = {}
    forced: Needs = {}
    dry_run: bool = False


class BlobRemoval(Protocol):
    """The blobs of file sets when versions go. A table has none."""

    def only_in(self, versions: Iterable[DatasetVersion], history: History) -> UnneededBlobs:
        """Return the blobs that only these versions need."""
        ...

    def limit(self) -> float:
        """Return the moment, by the store's clock, before which a blob must have been stored to be deleted."""
        ...

    def remove(self, unneeded: UnneededBlobs) -> None:
        """Delete the blobs that may go now."""
        ...

    def whole(self, version: DatasetVersion) -> bool:
        """Return whether all the blobs of a version exist."""
        ...


class VersionRemoval:
    """Removes the files of old versions.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        needs: Says what needs each version of a dataset.
        blobs: The blobs of sets of files.
    """

    def __init__(
        self, services: Services, store: VersionStore, needs: Callable[[str], Needs], blobs: BlobRemoval
    ) -> None:
        self._services, self._store, self._needs, self._blobs = services, store, needs, blobs

    def vacuum(self, name: str, policy: Retention, *, force: bool = False, dry_run: bool = False) -> Vacuum:
        """Remove the files of old versions of a dataset.

        Args:
            name: The dataset.
            policy: The versions that may go.
            force: Remove also versions that something needs, except the newest.
            dry_run: Only say what would be removed.

        Returns:
            The result. A version whose files other versions share stays: removing it would free nothing.

        Raises:
            UnknownName: There is no such dataset.
            UsageError: The policy cannot be read.
        """
        while True:
            plan, record, seq = outlasting(self._store, name, lambda: self._plan(name, policy, force=force))
            if dry_run:
                return msgspec.structs.replace(plan, dry_run=True)
            if plan.versions:
                try:
                    self._store.stream(name).append(record, expecting=seq)
                except Conflict:  # a commit, tag or restore was faster: decide again
                    continue
            revived = self.finish(name)
            return msgspec.structs.replace(plan, versions=tuple(v for v in plan.versions if v not in revived))

    def _plan(self, name: str, policy: Retention, *, force: bool) -> tuple[Vacuum, DatasetVacuumed, int]:
        history = self._store.history(name)
        history.get(None)
        aged = self._aged(history, policy)
        needed = {
            version: reasons for version, reasons in self._needs(name).items() if version in {v.version for v in aged}
        }
        doomed = [version for version in aged if force or version.version not in needed]
        files, blobs = self._only_in(doomed, history), self._blobs.only_in(doomed, history)
        indexes = {entry.key for entry in blobs.indexes}
        removed = {
            version.version
            for version in doomed
            if any(path in files for path in self._paths([version]))
            or (version.index and key_of(version.index) in indexes)
        }
        now, later = blobs.split(self._blobs.limit()) if any(blobs) else ([], [])
        plan = Vacuum(
            dataset=history.name,
            versions=tuple(sorted(removed)),
            files=len(files) + len(now),
            freed=sum(files.values()) + sum(entry.size for entry in now),
            waiting=sum(entry.size for entry in later),
            kept={version: reasons for version, reasons in needed.items() if version not in removed and not force},
            forced={version: reasons for version, reasons in needed.items() if version in removed},
        )
        forced = {str(version): why for version, why in plan.forced.items()}
        record = DatasetVacuumed(versions=plan.versions, files=plan.files, freed=plan.freed, forced=forced)
        return plan, record, history.seq

    def _aged(self, history: History, policy: Retention) -> list[DatasetVersion]:
        """Return the versions that may go by their number and age."""
        from datetime import UTC, datetime

        from mlopsfw.kernel.base.spans import duration

        older = history.versions[: -max(policy.keep, 1)]
        if policy.older_than:
            limit = datetime.fromtimestamp(self._services.clock.now(), UTC) - duration(policy.older_than)
            older = tuple(version for version in older if datetime.fromisoformat(version.time) < limit)
        return [version for version in older if version.live]

    def _only_in(self, doomed: Iterable[DatasetVersion], history: History) -> dict[str, int]:
        """Return the files, with their bytes, that only versions in `doomed` have."""
        numbers = {version.version for version in doomed}
        used = self._paths(each for each in history.versions if each.live and each.version not in numbers)
        return {path: size for path, size in self._paths(doomed).items() if path not in used}

    def _paths(self, versions: Iterable[DatasetVersion]) -> dict[str, int]:
        loaded = {version.manifest for version in versions}
        return {
            file.path: file.size for digest in loaded for file in manifests.load(digest, self._services.blobs).files
        }

    def finish(self, name: str) -> tuple[int, ...]:
        """Delete the files that vacuums have released. Safe to repeat.

        Returns:
            The versions that turned out to be needed and still had all their files: they stay.
        """
        return outlasting(self._store, name, lambda: self._finish(name))

    def _finish(self, name: str) -> tuple[int, ...]:
        store = self._store
        present = {path for path, _ in store.files(name).list()}
        while True:
            history = store.history(name)
            vacuumed = [version for version in history.versions if version.manifest and version.vacuumed]
            paths, blobs = present & self._only_in(vacuumed, history).keys(), self._blobs.only_in(vacuumed, history)
            if not paths and not any(blobs):
                return ()
            revived = self._revived(history, vacuumed, present)
            if revived:
                try:
                    store.stream(name).append(DatasetRevived(versions=tuple(revived)), expecting=history.seq)
                except Conflict:
                    continue
                history = store.history(name)
                vacuumed = [version for version in vacuumed if version.version not in revived]
                blobs = self._blobs.only_in(vacuumed, history)
            self._blobs.remove(blobs)
            store.files(name).delete(sorted(present & self._only_in(vacuumed, history).keys()))
            return tuple(revived)

    def _revived(self, history: History, vacuumed: list[DatasetVersion], present: set[str]) -> list[int]:
        forced = set[str]()
        for event in self._store.stream(history.name).events():
            if event.type == DatasetVacuumed.type:
                forced |= DatasetVacuumed.of(event).forced.keys()
        needed = self._needs(history.name).keys() - {int(version) for version in forced}
        return [
            each.version
            for each in vacuumed
            if each.version in needed and self._paths([each]).keys() <= present and self._blobs.whole(each)
        ]
