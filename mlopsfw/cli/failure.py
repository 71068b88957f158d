"""Print an error: what was wrong, where, and what to do next. `--traceback` adds the traceback."""

from __future__ import annotations

import os
import traceback
import warnings

import click

from mlopsfw.cli.output import printable
from mlopsfw.kernel.base.errors import MlopsfwError, text_of
from mlopsfw.kernel.plugins.blame import PluginWarning, is_blamed
from mlopsfw.privacy.credentials import redacted

_python_format = warnings.formatwarning
INTERNAL = 70  # sysexits' EX_SOFTWARE: a fault of ours or of a plugin, not of the request


def report(error: BaseException, *, with_traceback: bool) -> int:
    """Print `error` on stderr and return its exit code."""
    if with_traceback or os.environ.get("MLOPSFW_TRACEBACK"):
        click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {_sentence(error)}", err=True)
    if isinstance(error, MlopsfwError):
        return error.exit_code
    return 5 if is_blamed(error) else INTERNAL


def print_warnings_plainly() -> None:
    """Print what mlopsfw warns about plugins as one line: a place in mlopsfw's own source says nothing to the user."""
    warnings.formatwarning = _formatted


def _formatted(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    if issubclass(category, PluginWarning):
        return f"warning: {printable(redacted(str(message)))}\n"
    return _python_format(message, category, filename, lineno, line)


def _sentence(error: BaseException) -> str:
    text = str(error) if isinstance(error, MlopsfwError) else text_of(error)
    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
    more = "" if isinstance(error, MlopsfwError) else "\n  Run it again with --traceback to see the place."
    return "\n".join(map(printable, redacted(text + notes + more).split("\n")))
