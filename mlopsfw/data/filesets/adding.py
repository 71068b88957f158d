"""`Addition`: turn the files of a folder into the next version of a set. Reads what may have changed, and stores what is new."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.datasets.versions import FILES
from mlopsfw.data.filesets import index, known, packs
from mlopsfw.data.filesets.index import Location
from mlopsfw.data.filesets.known import Known
from mlopsfw.data.filesets.walk import walk

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import DatasetVersion, History
    from mlopsfw.kernel.services import Services

Progress = Callable[[int, int, int], None]
_EVERY = 30.0  # seconds between two saves of the cache, in case the addition is killed
_WIDTH = 32  # bytes of a sha256


class Removed(Exception):
    """Versions were removed after their blobs were located, so some of these may be gone."""


class Addition:
    """The addition of one folder to one set.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        history: The set as it is.
        folder: The files.
        append: Whether the set keeps its files under other paths.
    """

    def __init__(
        self, services: Services, store: VersionStore, history: History, folder: Path, *, append: bool
    ) -> None:
        from mlopsfw.data.datasets.loading.commits import refuse_other

        refuse_other(history, {"how": FILES})
        self._services, self._store, self._history, self._folder = services, store, history, str(folder.absolute())
        upsert = append and history.latest is not None
        self._change = Change(mode="upsert", key=("path",)) if upsert else Change(mode="replace")
        self._file = known.file_of(services.workspace, history.name, self._folder)
        self._known = known.load(self._file)
        self._found = walk(folder)
        self._listing = self._found.listing()
        self._digests = bytearray(_WIDTH * len(self._found.paths))
        self._stable = bytearray(len(self._found.paths))
        self._noted: dict[str, Location] = {}

    def same(self) -> DatasetVersion | None:
        """Return the newest version, marked as not new, if the same change made it of exactly these files. Reads no file, only their looks."""
        latest = self._history.latest
        if latest and self._known.made == self._made(latest) and self._known.is_all_of(self._found):
            return replace(latest, new=False)
        return None

    def _made(self, version: DatasetVersion) -> str:
        return f"{self._change.mode} {version.digest}"

    @cached_property
    def _locations(self) -> pl.DataFrame:
        """The locations of contents that are already stored."""
        import polars as pl

        latest = self._history.latest
        committed = index.of_version(self._services.blobs, latest) if latest else index.nowhere()
        self._noted = _young(self._services, self._known.locations)
        return pl.concat([committed, index.frame(self._noted.items())])

    # -- reading ----------------------------------------------------------------------------------------------------------

    def read(self, progress: Progress | None) -> Addition:
        """Read what may have changed, and store what is new."""
        try:
            self._read(self._take_over(), progress)
        except BaseException:
            self._remember()
            raise
        return self

    def _take_over(self) -> np.ndarray:
        """Reuse the digests of unchanged files whose content is stored; return the numbers of the other files."""
        import numpy as np

        at = self._known.match(self._found)
        digests = np.frombuffer(self._known.digests, np.uint8).reshape(-1, _WIDTH)
        stored = index.binary(self._known.digests).is_in(self._locations["digest"].implode()).to_numpy()
        unchanged = np.flatnonzero((at >= 0) & stored[at] if len(stored) else at >= 0)
        np.frombuffer(self._digests, np.uint8).reshape(-1, _WIDTH)[unchanged] = digests[at[unchanged]]
        np.frombuffer(self._stable, np.uint8)[unchanged] = 1
        return np.setdiff1d(np.arange(len(at)), unchanged, assume_unique=True)

    def _read(self, numbers: np.ndarray, progress: Progress | None) -> None:
        if not len(numbers):
            return
        digests = set(self._locations["digest"].to_list())
        new = {f"{self._folder}{os.sep}{self._found.paths[number]}": number for number in numbers.tolist()}
        files = [(file, self._found.look(number)) for file, number in new.items()]
        size, read, saved = sum(look.size for _, look in files), 0, time.monotonic()
        began = time.time_ns()
        packed = packs.store(files, self._services.blobs, lambda digest: bytes.fromhex(digest) in digests)
        for count, stored in enumerate(packed, 1):
            self._note(new[stored.file], stored, began)
            read += stored.look.size
            if progress:
                progress(count, read, size)
            if time.monotonic() - saved > _EVERY:
                self._remember()
                saved = time.monotonic()

    def _note(self, number: int, stored: packs.Stored, began: int) -> None:
        digest = bytes.fromhex(stored.digest)
        self._digests[number * _WIDTH : (number + 1) * _WIDTH] = digest
        self._stable[number] = max(stored.look.modified, stored.look.changed) < began - known.STABLE
        if stored.location is not None:
            self._noted[stored.digest] = stored.location

    def _remember(self, made: str = "") -> None:
        noted = {} if made else self._noted
        now = Known(
            listing=self._listing, looks=self._found.looks.tobytes(), digests=bytes(self._digests),
            stable=bytes(self._stable), made=made, locations=noted,
        )  # fmt: skip
        if now != self._known:
            known.save(now, self._file)
            self._known = now

    # -- committing -------------------------------------------------------------------------------------------------------

    def commit(self, message: str, *, force: bool, run: str) -> DatasetVersion:
        """Make the version. Raise `Removed` if versions were removed meanwhile."""
        from mlopsfw.data.datasets.loading.commits import Commit
        from mlopsfw.data.tables.digest import record_batches

        commit = Commit(
            self._store, self._history.name, self._change, source=f"{Path(self._folder).name}/",
            message=message, run=run, force=force, once=False, origin={"how": FILES}, index=self._index,
        )  # fmt: skip
        version = commit.make(record_batches(self._table()))
        self._remember(self._made(version))
        return version

    def _table(self) -> pl.DataFrame:
        """Return the table of the set: `path`, `size` (bytes), `digest` (sha256)."""
        import numpy as np
        import polars as pl

        sizes = np.frombuffer(self._found.looks, np.int64).reshape(-1, 4)[:, 0]
        return pl.DataFrame(
            {
                "path": pl.Series(self._found.paths, dtype=pl.String),
                "size": pl.Series(sizes, dtype=pl.Int64),
                "digest": index.binary(self._digests).bin.encode("hex"),
            }
        )

    def _index(self, history: History, rows: pl.LazyFrame) -> str:
        """Store the index of a version upon `history`. Raise `Removed`."""
        import polars as pl

        if history.removals != self._history.removals or self._lost():
            raise Removed
        frames = [self._locations, index.frame(self._noted.items())]
        if history.seq != self._history.seq and history.latest:  # another commit was faster; an upsert keeps its files
            frames.append(index.of_version(self._services.blobs, history.latest))
        needed = rows.select(pl.col("digest").str.decode("hex")).unique().collect()
        return index.save(
            pl.concat(frames).unique("digest", keep="first", maintain_order=True), needed, self._services.blobs
        )

    def _lost(self) -> bool:
        """Return whether an erasure of another set removed blobs that this addition found or stored."""
        from mlopsfw.kernel.store.blobs import entry_of
        from mlopsfw.kernel.store.tombstones import buried

        storage = self._services.storage
        erased = {location.blob for location in self._noted.values()} & set(buried(storage))
        return any(entry_of(storage, blob) is None for blob in erased)


def _young(services: Services, noted: dict[str, Location]) -> dict[str, Location]:
    """Return those locations of an unfinished addition whose blobs are still stored and too young for `gc`."""
    from mlopsfw.kernel.store.blobs import REFRESH, entry_of

    young = services.clock.now() - REFRESH
    blobs = {location.blob for location in noted.values()}
    present = {blob for blob in blobs if (entry := entry_of(services.storage, blob)) and entry.modified > young}
    return {digest: location for digest, location in noted.items() if location.blob in present}
