"""An exception as a record that travels: the user's own frames first, the plugin to blame, and whether to try again."""

from __future__ import annotations

import json
import traceback
from bdb import BdbQuit
from pathlib import Path

from mlopsfw.kernel.base import errors
from mlopsfw.kernel.base.errors import ContractBroken, DriftFound, GateRefused, MlopsfwError, PluginError, UsageError
from mlopsfw.kernel.plugins.blame import blame_of, is_blamed
from mlopsfw.kernel.roles.engine import Failure

_FRAMES = 10  # at each end of a traceback


def failure_of(error: BaseException, root: Path) -> Failure:
    """Describe `error`, raised while a step of the project in `root` ran."""
    return Failure(
        type=type(error).__name__,
        message="\n".join((_text(error), *_own_frames(error, root), *_notes(error))),
        traceback="".join(traceback.format_exception(error)),
        exit_code=_exit_code(error),
        retryable=not isinstance(error, GateRefused | UsageError | DriftFound | ContractBroken | KeyboardInterrupt),
    )


def _notes(error: BaseException) -> list[str]:
    """Return the notes of an error; a refusal is what the step is for, and no plugin is to blame for it."""
    blame = blame_of(error) if isinstance(error, GateRefused | DriftFound | ContractBroken) else None
    return [note for note in getattr(error, "__notes__", ()) if note != blame]


def _text(error: BaseException) -> str:
    if isinstance(error, BdbQuit):
        return "a breakpoint had no terminal; debug the step with --debug, or remove the breakpoint"
    return str(error) or type(error).__name__


def _exit_code(error: BaseException) -> int:
    """Return the error's own exit code, or a plugin's code for an accidental error of a plugin."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, MlopsfwError):
        return 1 if isinstance(error, UsageError) else error.exit_code  # a step ran, so it is no usage error any more
    return PluginError.exit_code if is_blamed(error) else 1


def _own_frames(error: BaseException, root: Path) -> list[str]:
    """Return the frames in the project's own files, the innermost first; of an endless recursion those at both ends."""
    lines = []
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(root) and "site-packages" not in file.parts:
            lines.append(f"at {file.relative_to(root)}:{frame.lineno} in {frame.name}: {frame.line}")
    left_out = len(lines) - 2 * _FRAMES
    return [*lines[:_FRAMES], f"… {left_out:,} more calls", *lines[-_FRAMES:]] if left_out > 1 else lines


def error_to_json(error: MlopsfwError) -> bytes:
    """Return an error as one line of JSON, for another process: its class in the tree, message and hint."""
    kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)  # a base of a plugin's own
    return json.dumps([kind.__name__, error.message, error.hint]).encode()


def error_from_json(text: bytes) -> MlopsfwError:
    """Return the error that `error_to_json` wrote. Only the message and the hint of its class are set."""
    name, message, hint = json.loads(text)
    kind: type[MlopsfwError] = getattr(errors, name)
    error = kind.__new__(kind)
    MlopsfwError.__init__(error, message, hint=hint)
    return error
