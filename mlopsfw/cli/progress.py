"""How far files have been read: rows, bytes and the time left, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def progress(files: Sequence[Path], *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give what is to be told the rows and bytes read so far; None where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.fields[rows]:,} rows"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    size = sum(file.stat().st_size for file in files if file.is_file())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=size or None, rows=0)
        yield lambda rows, done: bar.update(task, completed=done, rows=rows)
