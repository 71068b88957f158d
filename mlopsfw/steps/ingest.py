"""The built-in step `ingest`: files, a database's rows, or an outside table by reference become a version of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.data.intake.places import Query, place_of
from mlopsfw.kernel.base.errors import ConfigError, UsageError
from mlopsfw.kernel.base.ids import check_name, new_run_id
from mlopsfw.kernel.config.options import check_options
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.reading import MAX_RATIO
from mlopsfw.kernel.roles.source import SourceOptions
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    from mlopsfw.data.datasets import Datasets
    from mlopsfw.kernel.roles.host import Host, Secrets


class IngestParams(SourceOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.ingest]`: these, and what `SourceOptions` asks of sources that are no plain files.

    Args:
        dataset: The dataset's name.
        path: File, pattern (`2013-*.csv`) or folder, Delta or Iceberg table, relative to the project, or URL (`https://`, `s3://`, …), or
            a reference to one (`env:NAME`), or several in order. With a URL the step runs every time, and asks what changed.
        reference: Instead of `path`: a table that is registered, not copied.
        sql: Instead of `path`: a database's URL, or a reference to it (`env:WAREHOUSE_URL`); the step then runs every time.
        query: What to read from it.
        table: Instead of `query`: a table of which all rows are read.
        mode: Whether the rows come instead of those there are, after them, or instead of those of their key.
        key: The columns that identify a row, for `upsert` and a `lookback`.
        incremental: The column above whose greatest value so far rows are added; it is a mode of its own.
        lookback: How far below that value late rows are still taken (seconds for times).
        drift: What columns that differ from the dataset's get.
        max_bad: The share of bad rows that may go to quarantine.
        max_ratio: How many times its own size a file may have unpacked.
        message: Why, for people.
        null: Texts that mean a missing value, besides the empty one in CSV files.
        separator: Between the fields of CSV files.
        encoding: Of CSV files.
        types: Column → type, instead of the one that the file has or that is inferred.
    """

    dataset: str
    path: str | tuple[str, ...] = ()
    reference: str = ""
    sql: str = ""
    query: str = ""
    table: str = ""
    mode: Literal["replace", "append", "upsert"] = "replace"
    key: tuple[str, ...] = ()
    incremental: str = ""
    lookback: float = 0.0
    drift: Literal["fail", "add", "ignore"] = "fail"
    max_bad: float = 0.0
    max_ratio: float = MAX_RATIO
    message: str = ""
    null: tuple[str, ...] = ()
    separator: str = ""
    encoding: str = "utf-8"
    types: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_options(self, dataset=partial(check_name, what="dataset"))
        if bool(self.paths()) + bool(self.reference) + bool(self.sql) != 1:
            hint = 'Write path = "file.csv".'
            raise ConfigError("needs exactly one of path, sql and reference", key="path", hint=hint)
        if not all(path.strip() for path in self.paths()):
            raise ConfigError("names no file", key="path", hint='Write path = "file.csv".')
        if self.incremental and self.mode != "replace":
            hint = f"Remove mode = {self.mode!r}, or incremental."
            raise ConfigError("is a mode of its own", key="incremental", hint=hint)
        _change(self).check()
        for column, kind in self.types.items():
            self._check_type(column, kind)

    def _check_type(self, column: str, kind: str) -> None:
        from mlopsfw.data.tables.declared import type_of

        try:
            type_of(kind, column)
        except UsageError as error:
            raise ConfigError(error.message, key=f"types.{column}", hint=error.hint) from None

    def paths(self) -> tuple[str, ...]:
        """Return the files and URLs."""
        return (self.path,) if isinstance(self.path, str) else self.path


def _reads(params: IngestParams, secrets: Secrets) -> tuple[str, ...]:
    return tuple(path for path in params.paths() if not isinstance(place_of(path, secrets.is_reference), str))


def _facts(params: IngestParams, secrets: Secrets, *, datasets: Datasets) -> Mapping[str, object]:
    """Pin what a reference points at, which is not among `reads`; nothing tells whether a database, or all that a URL means, has changed."""
    if params.sql or len(_reads(params, secrets)) < len(params.paths()):
        return {"read at": new_run_id()}
    if not params.reference:
        return _contract(datasets.contract_file(params.dataset), params)
    return datasets.pin(params.reference)


def _contract(file: Path | None, params: IngestParams) -> Mapping[str, object]:
    """Return the digest of the contract that filters the rows, if there is one."""
    if not params.max_bad or file is None:
        return {}
    from mlopsfw.data.tables.digest import file_digest

    return {"contract": file_digest(file)}


def _run(params: IngestParams, host: Host, context: StepContext) -> Mapping[str, Any]:
    datasets = context.datasets
    if params.reference:
        version = datasets.reference(
            params.dataset, params.reference, params.message, csv=_csv(params), run=context.run
        )
    else:
        version = datasets.add(
            params.dataset,
            _sources(host, params),
            _change(params),
            params.message,
            csv=_csv(params),
            outside=params,
            run=context.run,
            once=True,
        )
    done = "" if version.new else " (unchanged)"
    context.log(f"{version.ref}: {version.rows:,} rows, {len(version.columns)} columns{done}")
    context.log_metric("rows", version.rows)
    if version.new and (bad := version.intake.get("quarantined")):
        context.log(f"{bad:,} bad rows in quarantine. To list them: mlopsfw data quarantine {version.name}")
        context.log_metric("quarantined", bad)
    return {"rows": version.artifact()}


def _sources(host: Host, params: IngestParams) -> list[Any]:
    if params.sql:
        return [Query(params.sql, params.query, params.table)]
    sources = [place_of(path, host.secrets.is_reference) for path in params.paths()]
    return [place if isinstance(place, str) else host.root / place for place in sources]


def _change(params: IngestParams) -> Any:
    from mlopsfw.data.datasets.loading.change import Change

    return Change(
        mode="incremental" if params.incremental else params.mode,
        key=params.key,
        watermark=params.incremental,
        lookback=params.lookback,
        drift=params.drift,
        max_bad=params.max_bad,
        max_ratio=params.max_ratio,
    )


def _csv(params: IngestParams) -> Any:
    from mlopsfw.kernel.roles.reading import ReadOptions

    return ReadOptions(separator=params.separator, null=params.null, encoding=params.encoding, types=params.types)


def build(params: IngestParams, host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params, host),
        outputs=("rows",),
        plugins=("format", "source"),
        reads=_reads(params, host.secrets),
        facts=partial(_facts, params, host.secrets),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `ingest`."""
    yield Provider(
        "ingest",
        IngestParams,
        build,
        "Add files or rows of a database to a dataset, or refer to a table elsewhere",
    )
