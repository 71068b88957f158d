"""`OutputFile`: the type of an option that names a file to write. A place that cannot be written is refused before the verb begins.

`write_file` writes it: whole, or not at all. `write_frames` writes rows.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import document

if TYPE_CHECKING:
    import polars as pl


class OutputFile(click.ParamType[Path]):
    """A file that a verb writes when its work is done, as a `Path`.

    Args:
        makes_folders: Whether the verb makes the folders above the file.
    """

    name = "file"

    def __init__(self, *, makes_folders: bool = False) -> None:
        self._makes_folders = makes_folders

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path. Fail with a usage error where no file can be written there."""
        file = Path(value)
        try:
            reason = self._refusal(file)
        except (OSError, ValueError) as error:  # too long a name, or one with a null byte
            reason = getattr(error, "strerror", None) or str(error)
        if reason:
            self.fail(f"{str(file)!r} cannot be written: {reason}", param, ctx)
        return file

    def _refusal(self, file: Path) -> str:
        if file.is_dir():
            return "it is a folder. Name a file in it."
        if not file.name:
            return "it names no file."
        if file.exists() and (not os.access(file, os.W_OK) or os.path.ismount(file)):
            return "the file that is there cannot be replaced. Name another one."
        above = file.parent
        while self._makes_folders and not above.exists():
            above = above.parent
        if not above.is_dir():
            return f"{above} is no folder." if above.exists() else f"there is no folder {above}. Make it first."
        return "" if os.access(above, os.W_OK | os.X_OK) else f"the folder {above} is not writable."


def write_file(file: Path, text: str) -> None:
    """Write a file in UTF-8. If the disk is full, what was there before is left as it was.

    Raises:
        OSError: The file cannot be written; its `filename` is set.
    """
    file = Path(os.path.realpath(file))
    if file.exists() and not file.is_file():  # a pipe or a terminal cannot be replaced
        file.write_text(text, encoding="utf-8")
        return
    part = file.with_name(f".mlopsfw-{secrets.token_hex(8)}")
    try:
        part.write_text(text, encoding="utf-8")
        if file.exists():
            shutil.copymode(file, part)
        part.replace(file)
    except OSError as error:
        error.filename, error.filename2 = str(file), None
        raise
    finally:
        part.unlink(missing_ok=True)


def write_frames(frames: Iterator[pl.DataFrame], out: Path | None) -> None:
    """Write rows to a file by its suffix and say how many, or print them as JSON lines."""
    from mlopsfw.models.bundle.row_file import check_writable, json_lines, write_rows

    if out is not None:
        click.echo(f"{write_rows(frames, out)} rows in {out}")
        return
    for frame in frames:
        check_writable(frame.schema, None)
        document(json_lines(frame), nl=False)
