"""The sources `postgresql` (also `postgres`) and `sqlite`: the rows of a database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Source


class SqlConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[source.postgresql]`, `[source.sqlite]`: there is nothing to set."""


def _build(_config: SqlConfig, host: Host) -> Source:
    from mlopsfw_source_sql.reading import SqlSource

    return SqlSource(host.root)


@hookimpl
def mlopsfw_sources() -> Iterable[Provider[Source]]:
    """Offer databases, by each of their schemes."""
    for scheme in ("postgresql", "postgres"):
        yield Provider(scheme, SqlConfig, _build, "Rows of a PostgreSQL database")
    yield Provider("sqlite", SqlConfig, _build, "Rows of a SQLite file")
