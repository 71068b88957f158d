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
    history = project.datasets.history(name)
    refuse_other(history, {"how": FILES})
    if project.state.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{folder} holds the project's own state, {project.state}", hint="Add a folder beside or below it."
        )
    latest = history.latest
    found = _Addition(project, name, folder, index.of_version(project, latest) if latest else {}).read(progress)
    change = Change(mode="upsert", key=("path",)) if append and latest else Change(mode="replace")
    version = _commit(project, name, table(found.files), change, found.places, folder, message, force=force, run=run)
    found.committed()
    return version


class _Addition:
    """Reads what must be read.

    Args:
        project: The project.
        name: The dataset.
        folder: The files.
        places: Where the newest version's contents are.
    """

    def __init__(self, project: Project, name: str, folder: Path, places: dict[str, Place]) -> None:
        self._blobs, self._folder = project.blobs, str(folder.absolute())
        self._file = project.private_folder("filesets") / f"{name}.msgpack"
        self._known = known.load(self._file)
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
                self.places[stored.digest] = self._known.places[stored.digest] = stored.place
            digests[stored.file.removeprefix(self._folder + os.sep)] = stored.digest
            self._known.note(stored.file, stored.look, stored.digest, began)
            read += stored.look.size
            if progress:
                progress(count, read, size)
            if time.monotonic() - saved > _EVERY:
                self._remember()
                saved = time.monotonic()

    def _remember(self) -> None:
        known.save(self._known, self._file)

    def committed(self) -> None:
        """Forget what the version's index tells, and files that are gone."""
        here = {f"{self._folder}{os.sep}{path}" for path, _, _ in self.files}
        below = self._folder + os.sep
        seen = {file: seen for file, seen in self._known.seen.items() if file in here or not file.startswith(below)}
        self._known = Known(seen)
        self._remember()


def _that_are_there(project: Project, noted: dict[str, Place], committed: dict[str, Place]) -> dict[str, Place]:
    """Return the places that an addition noted which did not come to its end, if `gc` left their blobs."""
    from mlopsfw.blobs import entry_of

    open_blobs = {place.blob for digest, place in noted.items() if digest not in committed}
    there = {blob for blob in open_blobs if entry_of(project.storage, blob)}
    return {digest: place for digest, place in noted.items() if place.blob in there}


def table(files: Iterable[tuple[str, int, str]]) -> pl.DataFrame:
    """Return the table of a set: `path`, `size` (bytes), `digest` (sha256)."""
    import polars as pl

    schema = {"path": pl.String, "size": pl.Int64, "digest": pl.String}
    return pl.DataFrame(list(files), schema=schema, orient="row")


def _needed(rows: pl.DataFrame, change: Change, places: dict[str, Place]) -> dict[str, Place]:
    """Return where the contents are that a version needs, as far as is known here; an upsert keeps those that were there."""
    return (
        places if change.mode == "upsert" else {digest: places[digest] for digest in rows["digest"].unique().to_list()}
    )


def _commit(  # noqa: PLR0917 - called in one place
    project: Project,
    name: str,
    rows: pl.DataFrame,
    change: Change,
    places: dict[str, Place],
    folder: Path,
    message: str,
    *,
    force: bool,
    run: str,
) -> DatasetVersion:
    from mlopsfw.digest import record_batches

    origin = {"how": FILES, "index": index.save(_needed(rows, change, places), project.blobs)}
    commit = Commit(
        project.datasets, name, change, source=f"{folder.name}/", message=message, run=run,
        force=force, once=False, origin=origin,
    )  # fmt: skip
    return commit.make(record_batches(rows))
