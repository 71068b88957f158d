"""The format keeps the promises of its role."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlopsfw.roles import Format
from mlopsfw.scaffold.format import SampleFormat
from mlopsfw.testing.format import FormatConformance

if TYPE_CHECKING:
    import pyarrow as pa


class TestSampleFormat(FormatConformance):
    """Files are written as the format reads them."""

    @pytest.fixture
    def reader(self) -> Format:
        """Return the format."""
        return SampleFormat("|")

    @pytest.fixture
    def write(self) -> Callable[[pa.Table, Path], object]:
        """Return a writer of such files."""

        def write(table: pa.Table, path: Path) -> None:
            lines = ["|".join(table.schema.names), *("|".join(map(str, row.values())) for row in table.to_pylist())]
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

        return write

    @pytest.fixture
    def spoil(self) -> Callable[[Path], int]:
        """Return what appends a line that is no row."""

        def spoil(path: Path) -> int:
            text = path.read_text(encoding="utf-8")
            path.write_text(f"{text}seven|lathe\n", encoding="utf-8")
            return text.count("\n") + 1

        return spoil
