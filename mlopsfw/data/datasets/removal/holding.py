"""People's rows in datasets: in every version and in quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.data.datasets.events import DatasetErased
from mlopsfw.kernel.component import Held

if TYPE_CHECKING:
    from mlopsfw.data.datasets.loading.bad_rows import BadRowErasure
    from mlopsfw.data.datasets.removal.erasure import RowErasure
    from mlopsfw.data.datasets.removal.vacuum import VersionRemoval
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.kernel.component import ErasureScope


class DatasetHolding:
    """Implements `mlopsfw.kernel.component.Holding` for datasets.

    Args:
        store: The versions of datasets.
        bad_rows: Erases rows of the quarantine.
        erasure: Rewrites versions.
        removal: Finishes an interrupted vacuum, whose files may hold the rows.
    """

    def __init__(
        self, store: VersionStore, bad_rows: BadRowErasure, erasure: RowErasure, removal: VersionRemoval
    ) -> None:
        self._store, self._bad_rows, self._erasure, self._removal = store, bad_rows, erasure, removal

    def find(self, scope: ErasureScope) -> Held:
        """Return dataset → version → rows of the subject, and dataset → bad rows with a text of the subject."""
        return self._held(scope, dry_run=True)

    def erase(self, scope: ErasureScope) -> Held:
        """Erase these rows."""
        return self._held(scope, dry_run=False)

    def _held(self, scope: ErasureScope, *, dry_run: bool) -> Held:
        names = scope.names("data")
        quarantine = {name: self._set_aside(name, scope, dry_run=dry_run) for name in names}
        versions = {name: self._versions(name, scope, dry_run=dry_run) for name in names}
        for name in names:
            scope.affected.update(f"data:/{name}@{version}" for version in versions[name])
            scope.affected.update(self._affected_before(name, scope.subject.digest))
        return Held(
            {
                "datasets": {name: rows for name, rows in versions.items() if rows},
                "quarantine": {name: rows for name, rows in quarantine.items() if rows},
            }
        )

    def _set_aside(self, name: str, scope: ErasureScope, *, dry_run: bool) -> int:
        if dry_run:
            return self._bad_rows.count(name, scope.subject)
        return self._bad_rows.remove(name, scope.subject, again=scope.again)

    def _versions(self, name: str, scope: ErasureScope, *, dry_run: bool) -> dict[int, int]:
        latest = self._store.history(name).latest
        if latest is None or latest.mode == "reference":
            return {}
        if not dry_run:
            self._removal.finish(name)
        rewriting = self._erasure.rewriting(name, scope.subject, scope.id)
        if dry_run:
            return rewriting.found()
        rows = rewriting.run()
        self._erasure.sweep(name)
        return rows

    def _affected_before(self, name: str, subject: str) -> set[str]:
        """Return the versions from which earlier erasures of the subject removed rows."""
        return {
            f"data:/{name}@{change.version}"
            for event in self._store.stream(name).events()
            if event.type == DatasetErased.type and (erased := DatasetErased.of(event)).subject == subject
            for change in erased.versions
            if change.was != change.digest
        }
