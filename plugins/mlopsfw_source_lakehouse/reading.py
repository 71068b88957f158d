"""Reading a table of another system: its rows in batches, within what its files may unpack to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlopsfw.errors import DataError
from mlopsfw.formats import Allowance
from mlopsfw.sources import record_batches

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def read(rows: pl.LazyFrame, shown: str, size: int, max_ratio: float) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table whose files have `size` bytes. Raise `DataError` where they cannot be read, or unpack to too much."""
    allowance = Allowance(shown, max_ratio, size)
    with _blamed(shown):
        for batch in record_batches(rows):
            allowance.spend(batch.nbytes)
            yield batch


@contextlib.contextmanager
def _blamed(place: str) -> Iterator[None]:
    from polars.exceptions import PolarsError

    try:
        yield
    except (PolarsError, OSError) as error:
        said = (str(error).strip().splitlines() or [""])[0]
        raise DataError(f"{place} cannot be read: {said}", hint="Nothing was committed.") from None
