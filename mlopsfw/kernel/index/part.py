"""`IndexPart`: the tables that one component derives from its events, how each event changes them, and listings.

A change reads nothing back, and an event of an unknown type changes nothing. `facts` columns hold an event's body as
JSON, so that
a query reaches what has no column: `facts ->> '$.task'`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from sqlite3 import Connection, complete_statement
from typing import Any, NamedTuple

import msgspec

from mlopsfw.kernel.roles.event import Event

Change = Callable[[Connection, str, Event], None]
"""Changes the tables as an event says; the text is what follows the first `/` of the stream's name."""


class Listing(NamedTuple):
    """A question over the tables, which `mlopsfw index list NAME` answers.

    Args:
        name: Its name.
        summary: What a row says, in a few words.
        select: One SELECT with the newest or most important rows first, without LIMIT.
    """

    name: str
    summary: str
    select: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPart:
    """What a component contributes to the index.

    Args:
        tables: SQL that creates the tables and their indexes, statements separated by `;`. Another text makes the index
            anew.
        changes: What the stream's name begins with, up to the first `/`, and the event's type → the change.
        listings: Questions over the tables.
        plugin: The plugin that contributes it; mlopsfw enters it.
        version: Raise it where the same events come to give other rows: the index is then made anew.
    """

    tables: str
    changes: Mapping[tuple[str, str], Change]
    listings: tuple[Listing, ...] = ()
    plugin: str = ""
    version: int = 1


@contextmanager
def transaction(db: Connection) -> Iterator[None]:
    """Commit what the block does, or none of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def create(db: Connection, script: str) -> None:
    """Run the statements of a part's `tables`, within the caller's transaction."""
    statement = ""
    for piece in script.split(";"):
        statement += f"{piece};"
        if complete_statement(statement):  # a `;` in a text or in a trigger ends none
            db.execute(statement)
            statement = ""


def drop(db: Connection) -> None:
    """Drop whatever there is: views and virtual tables first, which take tables of their own with them."""
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    found = [(kind, name, (sql or "").upper()) for kind, name, sql in rows if kind in ("table", "view")]
    for kind, name, _ in sorted(found, key=lambda each: (each[0] != "view", not each[2].startswith("CREATE VIRTUAL"))):
        db.execute(f'DROP {kind} IF EXISTS "{name}"')


def as_json(value: Any) -> str:
    """Return a value as the JSON text of a column."""
    return msgspec.json.encode(value).decode()


def upsert(db: Connection, table: str, keys: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Insert a row, or change the given columns of the one with these keys.

    Names of columns come from code, never from input.
    """
    row = {**keys, **values}
    columns = ", ".join(f'"{name}"' for name in row)
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in values)
    marks = ", ".join("?" * len(row))
    target = ", ".join(f'"{name}"' for name in keys)
    insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
    sql = f"{insert} ON CONFLICT ({target}) DO UPDATE SET {changes}"
    db.execute(sql, tuple(row.values()))
