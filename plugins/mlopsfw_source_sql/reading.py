"""A database's rows as one table: where it is, what to ask, and what becomes of rows that a table cannot hold."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadOptions, RejectSink, SourceOption, SourceRequest
    from mlopsfw_source_sql.sqlite import Reject

_POSTGRES = ("postgresql", "postgres")


class SqlSource:
    """Finds the rows of a query, or all of a table's.

    Args:
        root: What the path of a SQLite file is relative to.
    """

    queries = True
    takes: tuple[SourceOption, ...] = ()

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, request: SourceRequest) -> DatabaseRows:
        """Return the rows, as `mlopsfw.roles.Source` has it; the database is asked when they are read."""
        parts = urllib.parse.urlsplit(request.url)
        url = f"sqlite:///{self._root / parts.path[1:]}" if parts.scheme == "sqlite" else request.url
        return DatabaseRows(url, request.query or query_of(request.table), shown(url, request.table))


class DatabaseRows:
    """The rows of a query. Nothing shows whether they changed; a row's number is its place in the query's answer.

    Args:
        url: The database's whole URL.
        query: What to read.
        shown: The URL without user and password, and the table.
    """

    def __init__(self, url: str, query: str, shown: str) -> None:
        self._url, self._query, self.shown = url, query, shown

    def facts(self) -> dict[str, Any]:
        """Return nothing: a database does not say which version it has."""
        return {}

    def unchanged(self, _known: Mapping[str, Any]) -> bool:
        """Return False: only reading shows it."""
        return False

    def size(self) -> None:
        """Return None: nobody knows."""

    def read(self, options: ReadOptions, rejects: RejectSink | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in one cursor and never held whole; those with a value that a table cannot hold go to `rejects`.

        Cast in the query what should be of another type (`price::text` keeps every digit of a numeric).

        Raises:
            DataError: The database cannot be reached, or refuses the query (its own words are in it); a column is of a type that no
                table has; two have one name; without `rejects`, a value that cannot be held.
            MissingExtra: The driver is not installed.
        """

        def reject(row: int, reason: str, values: Mapping[str, Any]) -> None:
            if rejects is None:
                hint = "Cast it in the query, or put such rows in quarantine: --max-bad 0.01."
                raise DataError(f"{self.shown}: row {row}: {reason}", hint=hint)
            rejects.add(self.shown, row, reason, json.dumps(values, default=repr))

        with _blamed(self._url):
            yield from map(_named, self._rows(options, reject))

    def _rows(self, options: ReadOptions, reject: Reject) -> Iterator[pa.RecordBatch]:
        if not self._url.startswith("sqlite"):
            from mlopsfw_source_sql import postgres

            return postgres.read(self._url, self._query, reject)
        from mlopsfw_source_sql import sqlite

        path = urllib.parse.urlsplit(self._url).path[1:]
        if not Path(path).is_file():
            raise DataError(f"there is no database {path}")
        return sqlite.read(path, self._query, options.expected, reject)


def shown(whole: str, table: str = "") -> str:
    """Return a URL without user and password, for events and logs, with the table that is read, if one is."""
    try:
        parts = urllib.parse.urlsplit(whole)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # its words show part of the URL, such as a password with a / in it
        raise DataError(
            "the database's URL cannot be read",
            hint="Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE. In the password percent-encode / as %2F, # as %23, ? as %3F, @ as %40.",
        ) from None
    if "@" in parts.path + parts.query + parts.fragment:
        raise DataError(
            "the database's URL has an @ after its host, so a password may be cut short",
            hint="In the password percent-encode / as %2F, # as %23, ? as %3F, @ as %40.",
        )
    schema = "public." if parts.scheme in _POSTGRES and "." not in table else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}{f'/{schema}{table}' if table else ''}"


def query_of(table: str) -> str:
    """Return the query for all rows of a table."""
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
    return f"SELECT * FROM {quoted}"  # noqa: S608 - quoted as the standard has it


@contextlib.contextmanager
def _blamed(whole: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        theirs = ("adbc_driver_manager", "pyarrow", "sqlite3")
        if not isinstance(error, OSError) and not type(error).__module__.startswith(theirs):
            raise
        password = urllib.parse.urlsplit(whole).password
        said = str(error).replace(password, "…") if password else str(error)
        raise DataError(f"{shown(whole)}: {said.strip()}", hint="Try the query in a client of the database.") from None


def _named(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch. Raise `DataError` where two columns have one name."""
    names = batch.schema.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"the query names two columns {twice!r}", hint=f"Rename one of them: {twice} AS other.")
    return batch
