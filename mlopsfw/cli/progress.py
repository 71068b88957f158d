"""Show the progress of reading on a terminal: rows, bytes and the time left."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[int, int, int | None], None] | None]:
    """Yield a callback for the rows and bytes read so far and the total bytes, or None without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.fields[rows]:,} rows"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rows=0)
        yield lambda rows, done, size: bar.update(task, completed=done, total=size, rows=rows)
