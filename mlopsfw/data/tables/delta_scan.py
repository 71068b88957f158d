"""The rows of a Delta table, lazily."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import deltalake
    import polars as pl
else:
    pl = lazy("polars")
    deltalake = lazy("deltalake")


def check_place(place: str) -> str:
    """Return `place`, a local path or a URI. Raise `DataError` for a path that delta-rs reads as another one: `x%20y` as `x y`."""
    if "://" in place or os.sep != "/":
        return place
    read = unquote(place).replace("\\", "/")
    if read != place or not place.isprintable():
        reads = f"reads its name as {read!r}" if read != place else "takes no control characters"
        raise DataError(
            f"the folder {place!r} cannot hold a Delta table: Delta Lake {reads}",
            hint="Rename the folder: its path must not contain control characters, a backslash, or % and two hexadecimal digits.",
        )
    return place


def scan_delta(table: deltalake.DeltaTable) -> pl.LazyFrame:
    """Return `polars.scan_delta` of an opened table, in a folder of any name.

    delta-rs percent-encodes the path of a local folder, and Polars does not decode it.
    """
    import polars as pl

    encoded = table.table_uri.removeprefix("file://").rstrip("/")
    if not encoded.startswith("/") or encoded == unquote(encoded):
        return pl.scan_delta(table)

    class LocalTable(deltalake.DeltaTable):  # type: ignore[misc, unused-ignore]
        def file_uris(self, *filters: Any, **options: Any) -> list[str]:
            return [unquote(encoded) + uri.removeprefix(encoded) for uri in super().file_uris(*filters, **options)]

    return pl.scan_delta(LocalTable(unquote(encoded), version=table.version()))
