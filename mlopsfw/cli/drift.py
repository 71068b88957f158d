"""`drift`: compare two files of rows, column by column. Needs no project."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.output import emit_json, table

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw_core import ColumnDrift, Reference

_SHOWN = ("column", "type", "statistic", "value", "pvalue", "effect", "threshold", "drifted")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("reference", type=_FILE)
@click.argument("current", type=_FILE)
@click.option("--columns", multiple=True, metavar="NAME", help="Compare only this column. May be repeated.")
@click.option(
    "--alpha",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="The false-alarm budget.",
)
@click.option(
    "--threshold",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="The least effect that counts, as a share of rows.",
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots to this file.")
@click.option("--check", is_flag=True, help="Exit with 4 when there is drift.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object: `drifted`, and `columns`, most drifted first."
)
def drift(
    reference: Path,
    current: Path,
    *,
    columns: tuple[str, ...],
    alpha: float,
    threshold: float,
    html: Path | None,
    check: bool,
    as_json: bool,
) -> None:
    """Say which columns of CURRENT have moved from REFERENCE, most drifted first (Parquet, CSV, JSON lines, Arrow IPC).

    A column has drifted with a small p-value, corrected over columns, and a noticeable effect: of halvings of rows that have not
    changed, at most a share of ALPHA flags anything.
    """
    from mlopsfw.errors import DriftFound
    from mlopsfw_core import Reference, compare_table

    before, after = (_read(file, columns) for file in (reference, current))
    kept = {name: Reference.fit(before[name], name=name) for name in before.columns}
    drifts = compare_table(kept, after, alpha=alpha, threshold=threshold)
    drifted = [one.column for one in drifts if one.drifted]
    if html is not None:
        html.write_text(
            _page(kept, after, alpha=alpha, threshold=threshold, title=current.name, against=reference.name),
            encoding="utf-8",
        )
    if as_json:
        emit_json({"drifted": bool(drifted), "columns": [_row(one) for one in drifts]})
    else:
        table([{**_row(one), "drifted": "yes" if one.drifted else ""} for one in drifts], _SHOWN, empty="No columns.")
        click.echo(f"{len(drifted)} of {len(drifts)} columns drifted; {before.height:,} rows against {after.height:,}.")
    if check and drifted:
        raise DriftFound(f"{current} has drifted from {reference}: {', '.join(drifted)}")


def _read(file: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    from mlopsfw.errors import UnknownName
    from mlopsfw.ids import nearest
    from mlopsfw.scoring import read_rows

    rows = read_rows(file)
    for name in columns:
        if name not in rows.columns:
            raise UnknownName(f"{file} has no column {name!r}", hint=nearest(name, rows.columns))
    return rows.select(columns) if columns else rows


def _row(one: ColumnDrift) -> dict[str, Any]:
    import math

    row = {name: value for name, value in asdict(one).items() if name in _SHOWN}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}


def _page(
    kept: dict[str, Reference], after: pl.DataFrame, *, alpha: float, threshold: float, title: str, against: str
) -> str:
    """Have the monitor `drift` examine the rows as one window, and draw its page."""
    from mlopsfw.config import ProjectConfig, Selection
    from mlopsfw.contracts.monitoring import Baseline, Window
    from mlopsfw.project import Project

    options = {"alpha": alpha, "threshold": threshold, "group": "none", "min_rows": 0}
    chosen = Selection(use="drift", options=options, key="monitor.0")
    monitor = Project(Path.cwd(), ProjectConfig(name="drift", monitors=(chosen,))).monitors["drift"]
    window = Window(endpoint=title, model=against, version=0, start="", end="", rows=after.to_arrow())
    baseline = Baseline(profile={n: r.to_dict() for n, r in kept.items()}, task="", target="", outputs=())
    return monitor.page(monitor.examine(window, baseline), window, baseline) or ""
