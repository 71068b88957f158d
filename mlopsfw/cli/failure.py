"""Print an error: what was wrong, where, and what to do next. `--traceback` adds the traceback."""

from __future__ import annotations

import errno
import os
import traceback
import warnings
from pathlib import Path

import click

from mlopsfw.capturelog.disk import FULL, SOME_FILE, refused
from mlopsfw.cli.output import printable
from mlopsfw.kernel.base.errors import MlopsfwError, StorageError, StorageFull, UsageError, text_of
from mlopsfw.kernel.plugins.blame import PluginWarning, is_blamed
from mlopsfw.operations.installation import missing_tables
from mlopsfw.privacy.credentials import redacted

_python_format = warnings.formatwarning
_CLOSED = StorageError, "This verb writes there. Make it writable, or work in a copy of the project."
_FORBIDDEN = StorageError, "This verb reads or writes there. Check its permissions, or work in a copy of the project."
_FULL = StorageFull, "Free some space there, and run it again."
_TOO_MANY = StorageError, "Allow more open files: ulimit -n 4096."
_REFUSED: dict[int, tuple[type[StorageError], str]] = {
    errno.EROFS: _CLOSED,
    **dict.fromkeys((errno.EACCES, errno.EPERM), _FORBIDDEN),
    **dict.fromkeys(FULL, _FULL),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _TOO_MANY),
    errno.EIO: (StorageError, "The disk reports a fault. Look at the system's log."),
}
_UNREACHABLE = {
    errno.ELOOP: "A link leads to itself. Correct it.",
    errno.ENAMETOOLONG: "Use a shorter path.",
    errno.ENOTDIR: "A part of the path is a file. Correct the path.",
}
INTERNAL = 70  # sysexits' EX_SOFTWARE: a fault of ours or of a plugin, not of the request


def report(error: BaseException, *, with_traceback: bool) -> int:
    """Print `error` on stderr and return its exit code."""
    typed = missing_tables(error) or _of_this_machine(error)
    if with_traceback or os.environ.get("MLOPSFW_TRACEBACK"):
        click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {_sentence(typed)}", err=True)
    if isinstance(typed, MlopsfwError):
        return typed.exit_code
    return 5 if is_blamed(error) else INTERNAL


def _of_this_machine(error: BaseException) -> BaseException:
    """Return the typed error for what the operating system refused: a fault of the machine's state, of no code."""
    if isinstance(error, FileNotFoundError) and "temporary directory" in (error.strerror or ""):  # all were tried
        return StorageError(
            str(error.strerror), hint="Free some space in one of them, or set TMPDIR to a folder with room."
        )
    if isinstance(error, OSError) and (hint := _UNREACHABLE.get(error.errno or 0)) and error.filename:
        return UsageError(f"{error.filename}: {error.strerror}", hint=hint)
    if isinstance(error, FileNotFoundError) and not error.filename and not _is_there():
        return UsageError("the current folder does not exist any more", hint="Change to a folder that does: cd .")
    if not (number := refused(error)) or (is_blamed(error) and not getattr(error, "filename", None)):
        return error
    kind, hint = _REFUSED[number]
    message = text_of(error)
    if isinstance(error, OSError) and error.errno:
        message = f"{error.filename or SOME_FILE}: {error.strerror}"
    typed = kind(message, hint=hint)
    for note in getattr(error, "__notes__", ()):  # such as the plugin that was refused
        typed.add_note(note)
    return typed


def _is_there() -> bool:
    """Return whether the current folder exists: another process may have removed it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


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
    more = (
        "" if isinstance(error, MlopsfwError) else "\n  To see the place: mlopsfw --traceback VERB … (before the verb)."
    )
    return "\n".join(map(printable, redacted(text + notes + more).split("\n")))
