"""The pages that the verbs of `runs` write: of a run, of two, and of a list."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.output_file import OutputFile, write_file
from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    from mlopsfw.project.facade import Project

_LIVE = ("running",)
_RELOAD = 2  # seconds between two versions of the page of a run that goes on

html_option = click.option(
    "--html", type=OutputFile(), help="Write a page with the curves of the metrics to this file."
)


def write_run_page(project: Project, html: Path, *runs: str, reload: int = 0) -> None:
    """Write the page of a run, or of two beside each other."""
    from mlopsfw.pipeline.run.page import run_page

    views = [project.people.show(project.runs.get(run)) for run in runs]
    write_file(
        html, run_page([(view, project.runs.metrics(view.id)) for view in views], project.blobs.get, reload=reload)
    )


def follow(project: Project, html: Path | None, run: str) -> None:
    """Rewrite the page of a run until the run ends. A browser that shows the page reloads it."""
    if html is None:
        raise UsageError("--follow needs a page to write", hint="Add --html run.html.")
    while project.runs.get(run).status in _LIVE:
        write_run_page(project, html, run, reload=_RELOAD)
        time.sleep(_RELOAD)


def write_list_page(
    project: Project, html: Path, records: Sequence[Mapping[str, Any]], shown: Sequence[str], *, pages: bool
) -> None:
    """Write the page of a list of runs. The pages of single runs lie in a folder beside it, which is called like the file.

    Args:
        project: The project.
        html: The file.
        records: The runs.
        shown: Columns besides the facts of each run.
        pages: Write the page of each listed run that has none, or whose page was written while the run went on.
    """
    from mlopsfw.pipeline.run.runs_page import runs_page

    folder = html.with_suffix("")
    if pages and folder == html:
        raise UsageError(
            f"the pages of the runs would lie in {folder}, which is the file", hint="Name a file such as runs.html."
        )
    if pages and records:
        folder.mkdir(exist_ok=True)
    for record in records if pages else ():
        page = folder / f"{record['run']}.html"
        live = record["status"] in _LIVE
        if live or not page.exists() or _is_live(page):
            write_run_page(project, page, record["run"], reload=_RELOAD if live else 0)
    present = {file.stem for file in folder.glob("*.html")} if folder.is_dir() else set()
    actors = sorted({str(record["actor"]) for record in records})
    names = dict(zip(actors, project.people.show(actors), strict=True))
    named = [{**record, "actor": names[str(record["actor"])]} for record in records]
    write_file(html, runs_page(named, shown, folder=folder.name, pages=present))


def _is_live(page: Path) -> bool:
    """Return whether a page was written while its run went on."""
    with page.open(encoding="utf-8") as file:
        return 'http-equiv="refresh"' in file.read(1000)
