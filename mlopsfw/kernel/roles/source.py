"""`Source`: what is at a place that a URL names: files that are copied here, or a table that is read there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.reading import ReadOptions, RejectSink

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")

Received = Callable[[int, int | None], None]
"""Is given how many bytes came so far, and how many there will be (None where nobody knows)."""


SourceOption = Literal["headers", "options"]


class SourceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a source is read that is no plain file. Each source heeds what concerns it.

    The step `ingest` takes these as parameters, `data add` as options.

    Args:
        sheet: Of an Excel workbook, the sheet; empty for the only one.
        at: Of a Delta table, the version; of an Iceberg table, the snapshot; empty for the newest.
        headers: Name → reference to the value (`env:FLIGHTS_AUTH`), sent to the host of an http(s) URL and to no other.
        options: Of a bucket, as in `[storage.object.options]` (`aws_region`, `aws_endpoint`, …), or of a plugin's own
            source; secrets by reference. Empty: the environment's.
        allow_private: Whether an http(s) URL may lead to an address that is not on the public internet.
        timeout: Seconds of silence after which a connection counts as dropped.
    """

    sheet: str = ""
    at: str = ""
    headers: dict[str, str] = {}
    options: dict[str, str] = {}
    allow_private: bool = False
    timeout: float = 30.0


def _no_suffix(_media_type: str) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """One place to look at.

    Args:
        url: The whole URL, which may be secret. For a source that is called as a mark, also a local folder's path.
        named: What the user wrote: the URL, or a reference to it (`env:NAME`). Errors name this.
        options: How it is read; the values of `headers` and `options` are resolved.
        query: What is asked of a database.
        table: Instead of `query`: the table of which all rows are read.
        suffixes: Of the files that an installed format reads, such as `.csv`: a folder means these files.
        marks: What a folder holds that is a table, such as `_delta_log/`, as patterns relative to the folder.
        suffix_for: Returns the suffix of files of a media type (`text/csv`), empty where no format reads them.
    """

    url: str
    named: str
    options: SourceOptions = field(default_factory=SourceOptions)
    query: str = ""
    table: str = ""
    suffixes: Sequence[str] = ()
    marks: Sequence[str] = ()
    suffix_for: Callable[[str], str] = _no_suffix


class RemoteFile(Protocol):
    """A file elsewhere."""

    @property
    def shown(self) -> str:
        """Return where it is, without credentials."""

    @property
    def name(self) -> str:
        """Return a file name, whose suffix says what is in it; known once it was fetched."""

    @property
    def relative(self) -> str:
        """Return its path below the folder or pattern that was named: its folders may be called `column=value`."""

    def facts(self) -> Mapping[str, Any]:
        """Return what shows that it changed, as far as it is known: `etag`, `modified`, `size`, or others."""

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether it is still what `known` (earlier `facts`) describes; False where that cannot be said."""

    def fetch(self, to: Path, received: Received) -> None:
        """Copy all of it to the file `to`, which is made anew.

        Raises:
            DataError: It changed on the way, or cannot be had.
            StorageUnavailable: No attempt got through.
        """


class SourceTable(Protocol):
    """A table that is read whole: at one version of its own, or by a query."""

    @property
    def shown(self) -> str:
        """Return where it is, without credentials."""

    def facts(self) -> Mapping[str, Any]:
        """Return which table it is and at which version, to tell whether it changed; nothing where it has none."""

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether it is still what `known` (earlier `facts`) describes; False where that cannot be said."""

    def read(self, options: ReadOptions, rejects: RejectSink | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of bounded size and of one schema, at least one batch. Closing it closes all.

        Args:
            options: `expected` has the dataset's types, `max_ratio` bounds what files may unpack to.
            rejects: Where rows go that no table can hold; without it such a row is a `DataError`.

        Raises:
            DataError: It cannot be read.
        """

    def size(self) -> int | None:
        """Return the bytes of the files that hold these rows, None where nobody knows."""


class Source(Protocol):
    """Finds what a URL names. It holds nothing open between two calls. A subclass inherits what is not abstract."""

    @property
    @abstractmethod
    def queries(self) -> bool:
        """Return whether it needs a query or the name of a table, as a database does."""

    @property
    def takes(self) -> Collection[SourceOption]:
        """Return which of a request's `headers` and `options` it uses. One that no source of a load uses is refused."""
        return ("headers", "options")

    @abstractmethod
    def find(self, request: SourceRequest) -> SourceTable | Sequence[RemoteFile]:
        """Return the table at the place, or its files in order.

        Raises:
            DataError: There is nothing, or it cannot be reached.
            TableFolder: The place is a folder that another source reads, as one of `request.marks` says.
            UsageError: The URL or an option is wrong.
        """


class TableFolder(DataError):
    """A folder of files is a table of another system: the source that is called as its mark reads it.

    Args:
        shown: Where it is, without credentials.
        mark: The mark that it holds.
    """

    def __init__(self, shown: str, mark: str) -> None:
        super().__init__(
            f"{shown} holds a table of another system ({mark}), and its files alone do not give its rows",
            hint="Install or enable the plugin that reads it.",
        )
        self.mark = mark
