"""`Datasets`: the datasets of a project, as `Project.datasets` offers them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.data.datasets.store import VersionStore
from mlopsfw.kernel.base.errors import Corrupt, DataError, UsageError
from mlopsfw.kernel.base.ids import check_name

if TYPE_CHECKING:
    from mlopsfw.data.datasets.comparison.difference import Difference
    from mlopsfw.data.datasets.comparison.keyed import Sides
    from mlopsfw.data.datasets.loading.change import Change, Mode
    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.data.intake.places import Query
    from mlopsfw.data.intake.quarantine import BadRow
    from mlopsfw.kernel.roles.reading import ReadOptions
    from mlopsfw.kernel.roles.source import SourceOptions

_LEFTOVER_AGE = 24 * 3600.0  # seconds; `tidy` would remove the files of a commit that takes longer


class Datasets(VersionStore):
    """The datasets of a project: read, make, compare and check their versions."""

    # -- new versions ----------------------------------------------------------------------------------------------------

    def commit(
        self,
        name: str,
        rows: Any,
        mode: Mode | Change = "append",
        source: str = "",
        message: str = "",
        *,
        run: str = "",
        force: bool = False,
        once: bool = False,
    ) -> DatasetVersion:
        """Add rows to a dataset, or replace its rows, as a new version. Create the dataset if it does not exist.

        Args:
            name: The dataset's name.
            rows: A table, a frame (a lazy one is streamed), record batches, or any object with Arrow's C stream.
            mode: `append`: the columns must be the dataset's. `replace`: the columns may differ. A
                `mlopsfw.data.datasets.loading.change.Change` also offers upsert, incremental, the policy for differing columns, and (`max_bad`) how many
                rows may go to quarantine.
            source: Where the rows came from, for people.
            message: A reason, for people.
            run: The run that makes it.
            force: Make a version even if the content has not changed. Rows that one run appends again are never added twice.
            once: Add nothing if the newest version added exactly these rows in this way.

        Returns:
            The new version, or the newest one with `new=False` if the content has not changed.

        Raises:
            DataError: The rows do not fit the dataset, or a type cannot be stored. Nothing is committed.
            StorageFull: There is no room. Nothing is committed.
        """
        from mlopsfw.data.datasets.loading.change import change_of
        from mlopsfw.data.datasets.loading.load import Load
        from mlopsfw.data.tables.digest import record_batches

        check_name(name, "dataset")
        facts = {"source": source, "message": message, "run": run, "force": force, "once": once}
        with contextlib.ExitStack() as stack:
            if isinstance(rows, Generator):  # it may hold a cursor with locks
                stack.callback(rows.close)
            return Load(self._services, self, name, change_of(mode), self._intake).of_rows(
                record_batches(rows), **facts
            )

    def add(
        self,
        name: str,
        paths: Sequence[Path | str | Query],
        mode: Mode | Change = "replace",
        message: str = "",
        *,
        csv: ReadOptions | None = None,
        outside: SourceOptions | None = None,
        run: str = "",
        force: bool = False,
        once: bool = False,
        progress: Any = None,
    ) -> DatasetVersion:
        """Stream files, tables or queries into a dataset as one new version; arguments and errors as for `commit`.

        Args:
            name: The dataset's name.
            paths: CSV, JSON lines, Parquet, Arrow IPC or Excel files, patterns or folders of them, Delta or Iceberg tables; http(s)
                URLs and those of buckets, or references to such; queries of databases; in order (see `mlopsfw.data.intake.load_sources`).
            mode: As for `commit`; a `Change` with `max_bad` puts bad rows in quarantine.
            message: A reason, for people.
            csv: The format of CSV files.
            outside: How sources are read that are no plain files.
            run: The run that makes it.
            force: Make a version even if the content has not changed.
            once: Add nothing if the newest version added exactly these rows in this way, or its sources show no change.
            progress: Called with the rows and bytes read so far and the bytes in all (None if unknown), or None.
        """
        from mlopsfw.data.datasets.loading.change import change_of
        from mlopsfw.data.datasets.loading.load import Load
        from mlopsfw.kernel.roles.reading import ReadOptions
        from mlopsfw.kernel.roles.source import SourceOptions

        check_name(name, "dataset")
        return Load(self._services, self, name, change_of(mode), self._intake).of_sources(
            paths, csv or ReadOptions(), outside or SourceOptions(), progress=progress,
            message=message, run=run, force=force, once=once,
        )  # fmt: skip

    def quarantine(self, name: str) -> list[BadRow]:
        """Return all bad rows of a dataset, newest load first."""
        from mlopsfw.data.datasets.loading.bad_rows import BadRows

        return BadRows(self.tables, check_name(name, "dataset")).all()

    def reference(
        self,
        name: str,
        uri: str,
        message: str = "",
        *,
        csv: ReadOptions | None = None,
        run: str = "",
        force: bool = False,
    ) -> DatasetVersion:
        """Register an outside table (a file of any installed format, a folder of them, or a Delta table) without copying it.

        mlopsfw reads it once for its digest, as `add` reads files, and pins it by the digests of its files, its ETag or its table
        version. `csv` says how its files are written; the version keeps it.

        Raises:
            DataError: There is no table.
            UsageError: The dataset holds rows of its own, or the reference a credential.
        """
        from mlopsfw.data.datasets.loading.zero_copy import refer
        from mlopsfw.data.datasets.pins import absolute
        from mlopsfw.kernel.roles.reading import ReadOptions
        from mlopsfw.privacy.credentials import credential_in

        if credential := credential_in(uri, self._services.secrets.is_reference):
            raise UsageError(
                f"the reference of dataset {name!r} holds {credential}, and the ledger would keep it for ever",
                hint="Use a login from the environment, such as AWS_PROFILE, or add a copy of the rows.",
            )
        place, options = absolute(uri, self._services.workspace.root), csv or ReadOptions()
        return refer(self, name, place, message, options, run=run, force=force)

    def restore(self, name: str, version: int, message: str = "") -> DatasetVersion:
        """Make a new version with the content of an earlier one. Copies and removes nothing."""
        from mlopsfw.data.datasets.loading.zero_copy import restore

        return restore(self, name, version, message)

    def tag(
        self, name: str, tag: str, version: int | None = None, message: str = "", *, move: bool = False
    ) -> DatasetVersion:
        """Put a tag on a version (by default the newest) and return the version; see `mlopsfw.data.datasets.tags.put`."""
        from mlopsfw.data.datasets import tags

        return tags.put(self, name, tag, version, message, move=move)

    def untag(self, name: str, tag: str) -> DatasetVersion:
        """Remove a tag and return its version. Raise `UnknownName`."""
        from mlopsfw.data.datasets import tags

        return tags.remove(self, name, tag)

    # -- comparing and checking ------------------------------------------------------------------------------------------

    def diff(self, name: str, before: int, after: int, key: Sequence[str] = ()) -> Difference:
        """Compare two versions; see `mlopsfw.data.datasets.comparison.difference.compare`."""
        from mlopsfw.data.datasets.comparison.difference import compare

        history = self.history(name)
        a, b = history.get(before), history.get(after)
        return compare(a, b, self.sides(a, b), key)

    def sides(self, before: DatasetVersion, after: DatasetVersion) -> Sides:
        """Return the rows of two versions of one dataset, with those in shared files separate."""
        from mlopsfw.data.datasets.comparison.keyed import Sides

        if not (before.readable().manifest and after.readable().manifest):
            return Sides(self.scan(before), self.scan(after))
        files, (a, b) = self.files(before.name), (self.manifest(version).files for version in (before, after))
        shared = {file.path for file in a} & {file.path for file in b}
        rests = [[file for file in side if file.path not in shared] for side in (a, b)]
        old, new = (files.scan(rest) if rest else files.scan(a[:1]).head(0) for rest in rests)
        both = [file for file in a if file.path in shared]
        return Sides(old, new, files.scan(both) if both else None)

    def verify(self, ref: str | DatasetVersion) -> DatasetVersion:
        """Read a version again and return it. Raise `Corrupt` if its rows no longer match its digest."""
        from mlopsfw.data.datasets.loading.commits import digest_of

        version = self.resolve(ref)
        try:
            now = digest_of(self, version)
        except DataError:
            raise
        except Exception as error:
            raise Corrupt(f"{version.ref} cannot be read: {error}", hint=_HOW_TO_MEND) from error
        if now != version.digest:
            raise Corrupt(f"the rows of {version.ref} differ from the committed ones", hint=_HOW_TO_MEND)
        return version

    def tidy(self, name: str, older: float = _LEFTOVER_AGE) -> list[str]:
        """Complete what a crash left unfinished: write missing commits to the Delta log, and remove files that belong to no version.

        Args:
            name: The dataset.
            older: Seconds. Younger files may belong to a running commit and stay.

        Returns:
            The files removed.
        """
        self.bring_up(name)
        _, strays = self.stocktaking(name, older)
        self.files(name).delete(strays)
        return strays

    def stocktaking(self, name: str, older: float = _LEFTOVER_AGE) -> tuple[list[str], list[str]]:
        """Return missing files of versions, and files older than `older` seconds that belong to no version."""
        limit = self._services.clock.now() - older
        present = dict(self.files(name).list())  # before the events: then a file committed meanwhile is no stray
        history = self.history(name)
        history.get(None)
        used = {file.path for version in history.versions if version.live for file in self.manifest(version).files}
        strays = [path for path, modified in present.items() if path not in used and modified < limit]
        present_after = dict(self.files(name).list()) if used - present.keys() else present
        return sorted(used - present_after.keys()), strays

    def behind(self, name: str) -> int:
        """Return how many versions the dataset's Delta log lacks."""
        return len(self.history(name).versions) - 1 - self._delta(name).version()


_HOW_TO_MEND = "Restore the storage from a copy, or run `mlopsfw data restore` with a version that verifies."
