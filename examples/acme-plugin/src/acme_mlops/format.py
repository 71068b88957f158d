"""Acme's counters: a header, then lines of a whole number and a name, such as `7|lathe`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlopsfw.errors import DataError
from mlopsfw.formats import open_bytes
from mlopsfw.roles import FileFacts

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadRequest

_ROWS = 1_000  # of a batch


class AcmeFormat:
    """Reads files of counters.

    Args:
        separator: What stands between fields.
    """

    typed = True
    media_types = ("application/vnd.acme.counters",)
    options = ()

    def __init__(self, separator: str) -> None:
        self._separator = separator

    def describe(self, request: ReadRequest) -> FileFacts:  # noqa: ARG002 - such a file says nothing of its rows
        """Return nothing: only the rows tell."""
        return FileFacts()

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the columns, then the rows; a line that is none goes to the sink, or is an error without one."""
        import pyarrow as pa

        with open_bytes(request.path, request.options.max_ratio) as lines:
            names = lines.readline().decode(errors="replace").strip().split(self._separator)
            if len(names) != 2:
                raise DataError(f"{request.path}:1: this is no header of two names", hint="Export the counters anew.")
            schema = pa.schema([(names[0], pa.int64()), (names[1], pa.string())])
            yield pa.RecordBatch.from_pylist([], schema=schema)
            rows: list[tuple[int, str]] = []
            for line, raw in enumerate(lines, 2):
                rows.extend(self._row(request, line, raw))
                if len(rows) == _ROWS:
                    yield _batch(rows, schema)
                    rows.clear()
            yield _batch(rows, schema)

    def _row(self, request: ReadRequest, line: int, raw: bytes) -> Iterator[tuple[int, str]]:
        text = raw.decode(errors="replace").rstrip("\r\n")
        number, separator, name = text.partition(self._separator)
        try:
            row = int(number), name
        except ValueError as error:
            reason = str(error)
        else:
            if separator:
                yield row
                return
            reason = f"there is no {self._separator!r}"
        if request.rejects is None:
            raise DataError(
                f"{request.path}:{line}: {reason}", hint="Mend the line, or set such rows aside: --max-bad."
            )
        request.rejects.add(request.path.name, line, reason, text)


def _batch(rows: list[tuple[int, str]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    numbers, names = [number for number, _ in rows], [name for _, name in rows]
    return pa.RecordBatch.from_arrays([pa.array(numbers, pa.int64()), pa.array(names, pa.string())], schema=schema)
