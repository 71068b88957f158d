"""The page of a list of runs: a table that its reader sorts and filters, without a server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mlopsfw.pages import escape, framed
from mlopsfw.pages.values import text_of_value

_FACTS = ("run", "name", "status", "started", "seconds", "actor")
_MOST = 20  # columns of metrics, and of parameters, by default
_AT_ONCE = 100  # rows that the page shows at first; a click adds ten times as many
_FOOTER = (
    "A click on a column sorts by it; runs without a value come last. The filter takes words that a row holds, and conditions such as loss<0.5, "
    'optimizer=adam or name!="my runs"; it is that of `mlopsfw runs list --where`. Columns that no option named are metrics, '
    "and parameters in which runs differ."
)


def runs_page(
    records: Sequence[Mapping[str, Any]], shown: Sequence[str] = (), *, folder: str = "", pages: Collection[str] = ()
) -> str:
    """Return the page.

    Args:
        records: The runs, as `mlopsfw.pipeline.run.search.search` returns them, in the order of the page.
        shown: Columns besides the facts of each run; by default up to 20 metrics, and up to 20 parameters in which the runs differ.
        folder: Where the pages of single runs lie, relative to this one: `FOLDER/RUN.html`.
        pages: The runs that have one.
    """
    columns = [*_FACTS, *(shown or _informative_columns(records))]
    rows = [[record.get(name) for name in columns] for record in map(_short, records)]
    linked = [number for number, record in enumerate(records) if record["run"] in pages]
    first, links = rows[:_AT_ONCE], set(linked)
    return framed(
        "mlopsfw.pipeline.run.runs_page",
        f"{len(rows):,} runs",
        _FOOTER,
        data={"columns": columns, "rows": rows, "linked": linked, "folder": folder, "step": _AT_ONCE},
        heads="".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in columns),
        rows="".join(_line(row, folder if number in links else "") for number, row in enumerate(first)),
    )


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, "started": record["started"][:19], "seconds": round(record["seconds"] or 0.0, 2)}


def _informative_columns(records: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for record in records for name in record)
    metrics = sorted(name for name in names if name.startswith("metrics."))[:_MOST]
    params = [name for name in sorted(names) if name.startswith("params.") and _differs(name, records)]
    return [*metrics, *params[:_MOST]]


def _differs(name: str, records: Sequence[Mapping[str, Any]]) -> bool:
    first = records[0].get(name)
    return any(record.get(name) != first for record in records)


def _line(row: Sequence[Any], folder: str) -> str:
    run = escape(str(row[0]))
    link = f'<a href="{escape(quote(folder))}/{quote(str(row[0]))}.html">{run}</a>' if folder else run
    return f"<tr><td>{link}{''.join(f'<td>{escape(text_of_value(value))}' for value in row[1:])}</tr>"
