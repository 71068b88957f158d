"""A database's rows as a source like any other: where it is, what to ask, and what becomes of rows that a table cannot hold."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.config.secrets import credential_in

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.intake.quarantine import Quarantine
    from mlopsfw.data.intake.sql.sqlite import Reject
    from mlopsfw.kernel.roles.host import Secrets
    from mlopsfw.kernel.roles.reading import ReadOptions

_POSTGRES = ("postgresql", "postgres")
_SCHEMES = (*_POSTGRES, "sqlite")


@dataclass(frozen=True)
class Query:
    """What to read of a database, as a user says it.

    Args:
        url: The database's URL, or a reference to it (see `address`).
        query: What to read.
        table: Instead of `query`: a table of which all rows are read.
    """

    url: str
    query: str = ""
    table: str = ""


class DatabaseRows:
    """The rows of a query. Nothing tells whether they changed; a row's number is its place in the query's answer.

    Args:
        query: What to read.
        secrets: Resolves references.
        root: What paths are relative to.

    Raises:
        UsageError: The URL, or what to read, is not well said.
        ConfigError: The reference leads nowhere.
    """

    def __init__(self, query: Query, secrets: Secrets, root: Path) -> None:
        self._url = address(query.url, secrets, root)
        self._query = query_of(query.query, query.table)
        self.shown = shown(self._url, query.table)

    def facts(self) -> dict[str, Any]:
        """Return nothing: a database does not tell its version."""
        return {}

    def unchanged(self, _known: Mapping[str, Any]) -> bool:
        """Return False: it must be read to be known."""
        return False

    def size(self) -> None:
        """Return None: nobody knows."""

    def read(self, options: ReadOptions, quarantine: Quarantine | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in one cursor and never held whole; those with a value that a table cannot hold go to `quarantine`.

        Cast in the query what should be of another type (`price::text` keeps every digit of a numeric).

        Raises:
            DataError: The database cannot be reached, or refuses the query (its own words are in it); a column is of a type that no
                table has; two have one name; without a quarantine, a value that cannot be held.
            MissingExtra: The driver is not installed.
        """

        def reject(row: int, reason: str, values: Mapping[str, Any]) -> None:
            if quarantine is None:
                hint = "Cast it in the query, or put such rows in quarantine: --max-bad 0.01."
                raise DataError(f"{self.shown}: row {row}: {reason}", hint=hint)
            quarantine.add(self.shown, row, reason, json.dumps(values, default=repr))

        with _blamed(self._url):
            yield from map(_named, self._rows(options, reject))

    def _rows(self, options: ReadOptions, reject: Reject) -> Iterator[pa.RecordBatch]:
        if not self._url.startswith("sqlite"):
            from mlopsfw.data.intake.sql import postgres

            return postgres.read(self._url, self._query, reject)
        from mlopsfw.data.intake.sql import sqlite as sqlitesource

        path = urllib.parse.urlsplit(self._url).path[1:]
        if not Path(path).is_file():
            raise DataError(f"there is no database {path}")
        return sqlitesource.read(path, self._query, options.expected, reject)


def address(url: str, secrets: Secrets, root: Path) -> str:
    """Return a database's whole URL.

    Args:
        url: `postgresql://user@host:5432/db`, `sqlite:///file.db` (relative to `root`; four slashes: absolute), or a reference to such
            a text (`env:NAME`, `file:path`), which is where a password belongs.
        secrets: Resolves references.
        root: The project's folder.

    Raises:
        UsageError: It is no such URL, or holds a password in clear.
        ConfigError: The reference leads nowhere.
    """
    whole = secrets.reveal(url)
    parts = urllib.parse.urlsplit(whole)
    if parts.scheme not in _SCHEMES:
        hint = nearest(parts.scheme, _SCHEMES) or "Write postgresql://user@host/db or sqlite:///file.db."
        raise UsageError(f"{parts.scheme or 'nothing'!r} is not a supported kind of database", hint=hint)
    if whole == url and (parts.password or credential_in(url)):
        raise UsageError(
            "the database URL contains its password", hint="Put the URL into a variable, and write env:WAREHOUSE_URL."
        )
    return f"sqlite:///{root / parts.path[1:]}" if parts.scheme == "sqlite" else whole


def shown(whole: str, table: str = "") -> str:
    """Return a URL without user and password, for events and logs, with the table that is read, if one is."""
    parts = urllib.parse.urlsplit(whole)
    port = f":{parts.port}" if parts.port else ""
    schema = "public." if parts.scheme in _POSTGRES and "." not in table else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}{f'/{schema}{table}' if table else ''}"


def query_of(query: str, table: str) -> str:
    """Return the query, or one for all of a table's rows. Raise `UsageError` where both or neither are given."""
    if bool(query) == bool(table):
        raise UsageError(
            "to read a database, give either a query or a table", hint='Write query = "SELECT …", or table = "trips".'
        )
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
    return query or f"SELECT * FROM {quoted}"  # noqa: S608 - quoted as the standard has it


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
