"""The format `sample`: files that end in `.sample`, of whole numbers and names with a separator between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import DataError
from mlopsfw.formats import open_bytes
from mlopsfw.roles import FileFacts, Format, Host, ReadRequest

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 10_000  # of a batch
_TYPES = ("int64", "string")


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[format.sample]`.

    Args:
        separator: What stands between the number and the name.
    """

    separator: str = "|"


class SampleFormat:
    """Reads a header of two names, then a whole number and a name on each line."""

    typed = True
    media_types = ()
    options = ()

    def __init__(self, separator: str) -> None:
        self._separator = separator

    def describe(self, request: ReadRequest) -> FileFacts:  # noqa: ARG002 - such a file says nothing of its rows
        """Return nothing: only the rows tell."""
        return FileFacts()

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield an empty batch with the columns, then the rows. A bad line goes to the sink; without one it is an error."""
        import pyarrow as pa

        with open_bytes(request.path, request.options.max_ratio) as lines:
            header = lines.readline().decode(errors="replace").strip().split(self._separator)
            if len(header) != len(_TYPES) or header[0] == header[1]:
                raise DataError(f"{request.path}:1: the header must hold two different names", hint="Correct the line.")
            schema = pa.schema(list(zip(header, map(pa.type_for_alias, _TYPES), strict=True)))
            yield pa.RecordBatch.from_pylist([], schema=schema)
            rows: list[dict[str, object]] = []
            for line, raw in enumerate(lines, 2):
                rows += self._row(request, line, raw, header)
                if len(rows) == _ROWS:
                    yield pa.RecordBatch.from_pylist(rows, schema=schema)
                    rows = []
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    def _row(self, request: ReadRequest, line: int, raw: bytes, header: list[str]) -> Iterator[dict[str, object]]:
        text = raw.decode(errors="replace").rstrip("\r\n")
        number, separator, name = text.partition(self._separator)
        try:
            if not separator:
                raise ValueError(f"there is no {self._separator!r}")  # noqa: TRY301 - one place for a bad line
            row: dict[str, object] = {header[0]: int(number), header[1]: name}
        except ValueError as error:
            if request.rejects is None:
                hint = "Correct the line, or set such lines aside: --max-bad."
                raise DataError(f"{request.path}:{line}: {error}", hint=hint) from None
            request.rejects.add(request.path.name, line, str(error), text)
        else:
            yield row


def _build(config: SampleConfig, _host: Host) -> Format:
    return SampleFormat(config.separator)


@hookimpl
def mlopsfw_formats() -> Iterable[Provider[Format]]:
    """Offer the format, by its suffix."""
    yield Provider("sample", SampleConfig, _build, "Whole numbers and names")
