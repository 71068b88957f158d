"""The rows of a query of a PostgreSQL or SQLite database, as Arrow record batches, streamed by ADBC drivers.

A query is read in one cursor and never held whole. What a table cannot hold is written as its nearest type; see `read`.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError, MissingExtra, UsageError
from mlopsfw.ids import nearest
from mlopsfw.secrets import is_reference

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.contracts.host import Secrets
    from mlopsfw.project import Project

_POSTGRES = ("postgresql", "postgres")
_SCHEMES = (*_POSTGRES, "sqlite")
_FIRST_DAY = -2_440_588  # from 1970 to 4714 BC, PostgreSQL's first
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_MIXED = re.compile(r"Type mismatch in column (\d+)")


def opened(project: Project, sql: str, query: str, table: str) -> tuple[Iterator[pa.RecordBatch], str]:
    """Return the rows of a query, or of a table, of the database at `sql`, and what to call it; errors as for `address`, `query_of` and `read`."""
    whole = address(sql, project.secrets, project.root)
    return read(whole, query_of(query, table)), shown(whole, table)


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
    whole = secrets.resolve(url) if is_reference(url) else url
    parts = urllib.parse.urlsplit(whole)
    if parts.scheme not in _SCHEMES:
        hint = nearest(parts.scheme, _SCHEMES) or "Write postgresql://user@host/db or sqlite:///file.db."
        raise UsageError(f"{parts.scheme or 'nothing'!r} is no kind of database that is read", hint=hint)
    if parts.password and whole == url:
        raise UsageError(
            "the database's URL holds its password", hint="Put the URL into a variable, and write env:WAREHOUSE_URL."
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
            "a database is read by a query or a table", hint='Write query = "SELECT …", or table = "trips".'
        )
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
    return query or f"SELECT * FROM {quoted}"  # noqa: S608 - quoted as the standard has it


def read(whole: str, query: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query.

    Numerics become float64; UUIDs, JSON and times of day become texts; cast in the query what should be another type (`price::text`
    keeps every digit).

    Raises:
        DataError: The database cannot be reached, or refuses the query; its own words are in it. Or a column is of a type that no
            table has (an interval, an address, money), holds an infinite time, or, in SQLite, values of several types.
        MissingExtra: The drivers are not installed.
    """
    import pyarrow as pa

    with _blamed(whole), _connected(whole) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        yield _plain(pa.RecordBatch.from_pylist([], schema=reader.schema))  # without rows there are no batches
        yield from map(_plain, reader)


def _connected(whole: str) -> Any:
    lite = whole.startswith("sqlite")
    try:
        driver = importlib.import_module("adbc_driver_sqlite.dbapi" if lite else "adbc_driver_postgresql.dbapi")
    except ImportError:
        raise MissingExtra("reading databases", "sql") from None
    if not lite:
        return driver.connect(whole)
    path = urllib.parse.urlsplit(whole).path[1:]
    if not Path(path).is_file():
        raise DataError(f"there is no database {path}")
    return driver.connect(f"file:{urllib.parse.quote(path)}?mode=ro")  # reading makes no file


@contextlib.contextmanager
def _blamed(whole: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        ours = isinstance(error, OSError) or type(error).__module__.startswith(("adbc_driver_manager", "pyarrow"))
        if not ours:
            raise
        password = urllib.parse.urlsplit(whole).password
        said = str(error).replace(password, "…") if password else str(error)
        hint = "Try the query in the database's own client."
        if mixed := _MIXED.search(said):  # a column of SQLite's may hold anything
            hint = f"Column {int(mixed[1]) + 1} holds values of several types: cast it in the query, as in CAST(x AS TEXT)."
        raise DataError(f"{shown(whole)}: {said.strip()}", hint=hint) from None


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [_column(values, field) for values, field in zip(batch.columns, batch.schema, strict=True)]
    names = batch.schema.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"the query names two columns {twice!r}", hint=f"Call one otherwise: {twice} AS other.")
    return pa.RecordBatch.from_arrays(columns, names=names)


def _column(values: pa.Array, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    if isinstance(values.type, pa.UuidType) or pa.types.is_time(values.type):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())
    own = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
    if isinstance(values, pa.ExtensionArray):
        opaque = isinstance(values.type, pa.OpaqueType)
        values = values.storage
        if opaque and not pa.types.is_string(values.type):  # bytes as the database sends them
            raise DataError(
                f"column {field.name!r} is of the type {own}", hint=f"Cast it in the query: {field.name}::text."
            )
    if own == "numeric":
        return _floats(values, field.name)
    if own == "money":  # whole cents
        raise DataError(f"column {field.name!r} is money", hint=f"Cast it in the query: {field.name}::numeric.")
    if pa.types.is_interval(values.type):
        raise DataError(f"column {field.name!r} is an interval", hint=f"Cast it: EXTRACT(epoch FROM {field.name}).")
    _refuse_infinite(values, field.name)
    return values


def _floats(values: pa.Array, name: str) -> pa.Array:
    """Return numerics as float64. Raise `DataError` where one is greater than any: the cast makes it infinite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    floats = values.cast(pa.float64())
    if pc.any(pc.and_not(pc.is_inf(floats), pc.match_substring(values, "inf", ignore_case=True))).as_py():
        raise DataError(f"column {name!r} holds a number beyond a float64", hint=f"Cast it in the query: {name}::text.")
    return floats


def _refuse_infinite(values: pa.Array, name: str) -> None:
    """Raise `DataError` where a date or time is infinite: the driver makes some day long before the first of it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_date32(values.type) or pa.types.is_timestamp(values.type)):
        return
    raw = values.view(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
    first = _FIRST_DAY if pa.types.is_date32(values.type) else _FIRST_DAY * _PER_DAY[values.type.unit]
    if len(raw) > raw.null_count and pc.min(raw).as_py() < first:
        raise DataError(f"column {name!r} holds an infinite time", hint=f"Give it another: NULLIF({name}, 'infinity').")
