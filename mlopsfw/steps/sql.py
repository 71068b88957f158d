"""The built-in step `sql`: run one query of Polars' SQL over its inputs, each a table under its own name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Host

_READS = re.compile(r"\bread_(csv|parquet|json|ipc|ndjson)\s*\(", re.IGNORECASE)


class SqlParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.sql]`.

    Args:
        query: A SELECT over the inputs. Without ORDER BY the order of its rows may change.
    """

    query: str


def _run(params: SqlParams, context: StepContext) -> Mapping[str, Any]:
    import polars as pl

    if _READS.search(params.query):
        raise UsageError(
            f"step {context.step} reads a file in its query, and the cache cannot see its changes",
            hint="Add the file as a dataset (mlopsfw data add), and use that as an input.",
        )
    tables = {name: context.load(name, pl.LazyFrame) for name in context.inputs}
    try:
        with pl.SQLContext(tables) as query:
            rows = query.execute(params.query)
            rows.collect_schema()
    except pl.exceptions.PolarsError as error:
        named = ", ".join(tables)
        raise DataError(f"step {context.step}: {error}", hint=f"Its tables are {named}.") from None
    return {"rows": rows}


def build(params: SqlParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        variadic=True,
        each=None,
        outputs=("rows",),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `sql`."""
    yield Provider("sql", SqlParams, build, "Run one SQL query (Polars) on the inputs, each a table under its own name")
