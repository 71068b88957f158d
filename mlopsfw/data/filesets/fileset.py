"""`FileSet`: reads a version of a set of files."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cached_property, lru_cache
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.data.datasets.versions import DatasetVersion
from mlopsfw.data.filesets.index import Location, locations, of_version
from mlopsfw.data.filesets.packs import SMALL
from mlopsfw.kernel.base.errors import Corrupt, UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.services import Services

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets import store as _store
    from mlopsfw.data.filesets import getting
else:
    pl = lazy("polars")
    _store = lazy("mlopsfw.data.datasets.store")
    getting = lazy("mlopsfw.data.filesets.getting")

_HELD = 4  # packs in memory


class FileSet:
    """A version of a set of files. `len(files)` and `files[3]` make it a map-style dataset for torch's DataLoader.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        version: The version.

    Raises:
        UsageError: The version is a table.
        Vacuumed: The version's files were removed.
    """

    def __init__(self, services: Services, store: _store.VersionStore, version: DatasetVersion) -> None:
        self._services, self._store, self.version = services, store, version.readable()
        self._index = of_version(services.blobs, version)
        self._pack = lru_cache(_HELD)(services.blobs.get)

    @cached_property
    def table(self) -> pl.DataFrame:
        """The files in order of paths: `path`, `size` (bytes), `digest` (sha256), `type` (media type by the name; null if unknown)."""
        import polars as pl

        rows = self._store.scan(self.version).sort("path").collect()
        types = [_type_of(path.rpartition("/")[2].partition(".")[2]) for path in rows["path"].to_list()]
        return rows.with_columns(pl.Series("type", types, dtype=pl.String))

    @cached_property
    def _digests(self) -> dict[str, str]:
        return dict(zip(self.table["path"].to_list(), self.table["digest"].to_list(), strict=True))

    @cached_property
    def _locations(self) -> dict[str, Location]:
        return locations(self._index)

    def __len__(self) -> int:
        return self.table.height

    def __getitem__(self, number: int) -> tuple[dict[str, Any], bytes]:
        """Return the facts and the bytes of the file at this position."""
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        row = self.table.row(number, named=True)
        return row, self.read(row["path"])

    def read(self, path: str) -> bytes:
        """Return a file's bytes.

        Raises:
            UnknownName: The set has no such file.
            Corrupt: The stored bytes have changed.
        """
        with self.open(path) as stream:
            return stream.read()

    def open(self, path: str) -> BufferedReader | BytesIO:
        """Open a file's bytes for reading, without holding a large file in memory. Errors as for `read`."""
        location = self.location(path)
        if location.size > SMALL:
            return self._services.blobs.path(location.blob).open("rb")
        data = self._pack(location.blob)[location.start : location.start + location.size]
        if len(data) != location.size:
            raise Corrupt(f"{path} of {self.version.ref} has {len(data)} bytes stored, not {location.size}")
        return BytesIO(data)

    def order(self, path: str) -> tuple[str, int]:
        """Return a sort key that puts files of one blob next to each other."""
        location = self.location(path)
        return location.blob, location.start

    def location(self, path: str) -> Location:
        """Return the location of a file's bytes. Raise `UnknownName`."""
        if path not in self._digests:
            raise UnknownName(f"{self.version.ref} has no file {path!r}", hint=self._hint(path))
        return self._locations[self._digests[path]]

    def _hint(self, path: str) -> str:
        erased = self.version.erased_rows
        return f"{erased:,} of its files were erased on request." if erased else nearest(path, self._digests)

    def verify(self) -> None:
        """Read every file's bytes. Raise `Corrupt` if they have changed, `NotFound` if they are gone."""
        for path, digest in sorted(self._digests.items(), key=lambda item: self.order(item[0])):
            with self.open(path) as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                    raise Corrupt(
                        f"{path} of {self.version.ref} differs from the file that was added",
                        hint="Restore its blob from a copy.",
                    )

    def get(self, folder: Path, *, sync: bool = False, force: bool = False) -> getting.Laid:
        """Write the files to `folder`; see `mlopsfw.data.filesets.getting.get`."""
        from mlopsfw.data.filesets.getting import get

        return get(self, folder, sync=sync, force=force)

    @property
    def state(self) -> Path:
        """The folder of the project's own files, to which no set is written."""
        return self._services.workspace.state

    @cached_property
    def contents(self) -> set[str]:
        """The sha256 of every content that any version of the set has."""
        versions = (version for version in self._store.history(self.version.name).versions if version.live)
        indexes = {version.index: version for version in versions if version.index}
        return {name for version in indexes.values() for name in locations(of_version(self._services.blobs, version))}


_TYPES = mimetypes.MimeTypes()  # Python's own table, not the machine's


@lru_cache(4096)
def _type_of(suffixes: str) -> str | None:
    """Return the media type of files with this suffix."""
    return _TYPES.guess_type(f"x.{suffixes}", strict=False)[0]
