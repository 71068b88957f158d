"""Reading CSV: strictly, or with bad rows set aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.roles import FileFacts
from mlopsfw_format_csv import diagnosis, strict, tolerant

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadOptions, ReadRequest


class Csv:
    """Reads CSV files.

    Args:
        media_types: Of files of this suffix.
    """

    typed = False
    options = ("separator", "encoding")

    def __init__(self, media_types: Sequence[str] = ()) -> None:
        self.media_types = media_types

    def describe(self, request: ReadRequest) -> FileFacts:  # noqa: ARG002 - CSV says nothing of itself
        """Return nothing: only the rows tell."""
        return FileFacts()

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, as `mlopsfw.roles.Format` has it."""
        if request.rejects is not None:
            return tolerant.read_csv(request.path, request.options, request.learned, request.rejects)
        return strict.read_csv(request.path, request.options, request.learned)

    def header(self, path: Path, options: ReadOptions) -> Sequence[str]:
        """Return the names in the first row."""
        return diagnosis.locate(path, options, 1)[1]
