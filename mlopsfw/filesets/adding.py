"""`data add NAME FOLDER --files`: a folder's files as the next version of a set."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.datasets.change import Change
from mlopsfw.datasets.commits import Commit, refuse_other
from mlopsfw.datasets.versions import FILES
from mlopsfw.errors import UsageError
from mlopsfw.filesets import index, known, packs
from mlopsfw.filesets.index import Place
from mlopsfw.filesets.known import Known
from mlopsfw.filesets.walk import walk
from mlopsfw.ids import check_name

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.datasets import DatasetVersion
    from mlopsfw.datasets.versions import History
    from mlopsfw.project import Project

_EVERY = 30.0  # seconds between two saves of what is known, for an addition that is killed


def add(
    project: Project,
    name: str,
    folder: Path,
    message: str = "",
    *,
    append: bool = False,
    force: bool = False,
    run: str = "",
    progress: Callable[[int, int, int], None] | None = None,
) -> DatasetVersion:
    """Make the files below `folder` the next version of a set.

    Args:
        project: Where the set is.
        name: The dataset.
        folder: The files; their paths in the set are relative to it.
        message: Why, for people.
        append: Keep the files that are in the set under other paths, also those that another process adds meanwhile.
        force: Make a version even where nothing changed.
        run: The run that makes it.
        progress: Told how many files and bytes were read, and how many bytes there are to read.

    Returns:
        The new version, or the newest one with `new=False` where nothing changed.

    Raises:
        DataError: Something below the folder cannot be kept, cannot be read, or changed while it was read.
        UsageError: The dataset is a table, or the folder holds the project's state.
    """
    check_name(name, "dataset")
    refuse_other(project.datasets.history(name), {"how": FILES})
    if project.state.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{folder} holds the project's own state, {project.state}", hint="Add a folder beside or below it."
        )
    while True:
        history = project.datasets.history(name)
        addition = _Addition(project, history, folder, append=append).read(progress)
        try:
            version = addition.commit(message, force=force, run=run)
        except _Removed:
            project.blobs.doubt()
            continue
        addition.committed()
        return version


class _Removed(Exception):
    """Versions went since it was asked where bytes are: what was found then may be gone."""


class _Addition:
    """Reads what must be read.

    Args:
        project: The project.
        history: The set as it is.
        folder: The files.
        append: Whether the set keeps its files under other paths.
    """

    def __init__(self, project: Project, history: History, folder: Path, *, append: bool) -> None:
        self._project, self._history, self._blobs, self._folder = (
            project,
            history,
            project.blobs,
            str(folder.absolute()),
        )
        self._change = Change(mode="upsert", key=("path",)) if append and history.latest else Change(mode="replace")
        self._file = known.file_of(project, history.name)
        self._known = known.load(self._file)
        places = index.of_version(project, history.latest) if history.latest else {}
        self.places = {**_that_are_there(project, self._known.places, places), **places}
        self.files: list[tuple[str, int, str]] = []

    def read(self, progress: Callable[[int, int, int], None] | None) -> _Addition:
        try:
            self._read(progress)
        finally:
            self._remember()
        return self

    def _read(self, progress: Callable[[int, int, int], None] | None) -> None:
        digests: dict[str, str] = {}
        new: list[packs.File] = []
        found = list(walk(Path(self._folder)))
        for path, look in found:
            file = f"{self._folder}{os.sep}{path}"
            digest = self._known.digest(file, look)
            if digest in self.places:
                digests[path] = digest
            else:
                new.append((file, look))
        self._store(new, digests, progress)
        self.files = [(path, look.size, digests[path]) for path, look in found]

    def _store(self, new: list[packs.File], digests: dict[str, str], progress: Any) -> None:
        size, read, saved = sum(look.size for _, look in new), 0, time.monotonic()
        began = time.time_ns()
        for count, stored in enumerate(packs.store(new, self._blobs, self.places.__contains__), 1):
            if stored.place is not None:
                self.places[stored.digest] = stored.place
                self._known.stored(stored.digest, stored.place)
            digests[stored.file.removeprefix(self._folder + os.sep)] = stored.digest
            self._known.note(stored.file, stored.look, stored.digest, began)
            read += stored.look.size
            if progress:
                progress(count, read, size)
            if time.monotonic() - saved > _EVERY:
                self._remember()
                saved = time.monotonic()

    def _remember(self) -> None:
        if self._known.changed:
            known.save(self._known, self._file)

    def commit(self, message: str, *, force: bool, run: str) -> DatasetVersion:
        """Make the version. Raise `_Removed` where others went meanwhile."""
        from mlopsfw.digest import record_batches

        commit = Commit(
            self._project.datasets, self._history.name, self._change, source=f"{Path(self._folder).name}/",
            message=message, run=run, force=force, once=False, origin={"how": FILES},
            index=self._index,
        )  # fmt: skip
        return commit.make(record_batches(table(self.files)))

    def _index(self, history: History, rows: pl.LazyFrame) -> str:
        """Store where the bytes are of a version that is made upon `history`. Raise `_Removed`."""
        if history.removals != self._history.removals:
            raise _Removed
        if self._change.mode == "upsert" and history.seq != self._history.seq and history.latest:  # others were first
            self.places |= index.of_version(self._project, history.latest)
        needed = rows.select("digest").unique().collect()["digest"].to_list()
        return index.save({digest: self.places[digest] for digest in needed}, self._blobs)

    def committed(self) -> None:
        """Forget what the version's index tells, and files that are gone."""
        here = {f"{self._folder}{os.sep}{path}" for path, _, _ in self.files}
        below = self._folder + os.sep
        seen = {file: seen for file, seen in self._known.seen.items() if file in here or not file.startswith(below)}
        if len(seen) < len(self._known.seen) or self._known.places:
            self._known = Known(seen, changed=True)
        self._remember()


def _that_are_there(project: Project, noted: dict[str, Place], committed: dict[str, Place]) -> dict[str, Place]:
    """Return the places that an addition noted which did not come to its end, of blobs that are too young for `gc`."""
    from mlopsfw.blobs import REFRESH, entry_of

    open_blobs = {place.blob for digest, place in noted.items() if digest not in committed}
    young = project.clock.now() - REFRESH
    there = {blob for blob in open_blobs if (entry := entry_of(project.storage, blob)) and entry.modified > young}
    return {digest: place for digest, place in noted.items() if place.blob in there}


def table(files: Iterable[tuple[str, int, str]]) -> pl.DataFrame:
    """Return the table of a set: `path`, `size` (bytes), `digest` (sha256)."""
    import polars as pl

    schema = {"path": pl.String, "size": pl.Int64, "digest": pl.String}
    return pl.DataFrame(list(files), schema=schema, orient="row")
