"""Load a model file from elsewhere in a process of its own, with a deadline and a limit on memory, and make its bundle there.

A graph may loop without end, or make a tensor of terabytes from one row: then that process ends, and no bundle comes of it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base import errors
from mlopsfw.kernel.base.errors import BundleError, MlopsfwError
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.project.facade import Project
from mlopsfw.project.logged_model import ModelFile, make_bundle

if TYPE_CHECKING:
    import polars as pl

SECONDS, CONVERSION = 300, 600
"""For loading the file and asking it for its answers, and in addition for converting an export of torch."""
MEMORY, TIMES = 8 << 30, 8
"""Bytes that the process may allocate, and in addition so many times the size of the file."""
_SLACK = 10.0  # seconds, in which the process ends itself
_ORDER, _ROWS, _ANSWER = "order.json", "rows.arrow", "answer.json"


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    root: Path
    config: str
    model: ModelFile
    seconds: int
    memory: int


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: the model's task, or an error."""

    task: str = ""
    error: str = ""
    message: str = ""
    hint: str = ""


def make_apart(project: Project, scratch: Path, model: ModelFile, rows: pl.DataFrame | None) -> str:
    """Make the bundle of a model file in `scratch / "bundle"`, in a process of its own; return its task.

    Raises:
        MlopsfwError: As `make_bundle`.
        BundleError: The process ran out of time or memory, or crashed.
    """
    seconds = SECONDS + (CONVERSION if model.file.suffix == ".pt2" else 0)
    size = model.file.stat().st_size if model.file.is_file() else 0
    order = _Order(
        root=project.root,
        config=project.config.to_json(),
        model=msgspec.structs.replace(model, file=model.file.absolute()),
        seconds=seconds,
        memory=MEMORY + TIMES * size,
    )
    (scratch / _ORDER).write_bytes(msgspec.json.encode(order, enc_hook=str))
    if rows is not None:
        rows.write_ipc(scratch / _ROWS)
    code, text = _ended(scratch, seconds + _SLACK)
    file = scratch / _ANSWER
    if code or not file.is_file():
        raise _failure(model.file.name, code, text, order)
    answer = msgspec.json.decode(file.read_bytes(), type=_Answer)
    if answer.error:
        raise _as_raised(answer)
    return answer.task


def _ended(scratch: Path, patience: float) -> tuple[int, str]:
    """Run the process to its end; return its exit status and what it wrote. Whatever it started ends with it."""
    command = [sys.executable, "-P", "-m", __name__, str(scratch)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            _, text = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            return -signal.SIGALRM, ""
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, text.decode(errors="replace")


def _failure(name: str, code: int, text: str, order: _Order) -> BundleError:
    if code == -signal.SIGALRM:
        hint = "Look for a loop that does not end, or export a smaller model."
        return BundleError(f"{name} did not load and answer within {order.seconds} s", hint=hint)
    if code < 0 and code != -signal.SIGKILL:
        return BundleError(f"{name} crashes the process that loads it (signal {-code})")
    last = (text.strip().splitlines() or ["the process ended"])[-1]
    return BundleError(_words(name, last if code > 0 else "MemoryError", order.memory))


def _words(name: str, text: str, memory: int) -> str:
    """Return what is wrong with a file, from the text of an error."""
    if any(word in text for word in ("MemoryError", "bad_alloc", "allocate")):
        return f"{name} needs more than {memory / (1 << 30):g} GiB of memory to load and answer a few rows"
    return f"{name} cannot be loaded and asked for its answers: {text[:300]}"


def _as_raised(answer: _Answer) -> MlopsfwError:
    """Return the error that the process raised, of its own class where the project has it."""
    kind: Any = getattr(errors, answer.error, BundleError)
    error = BundleError(answer.message, hint=answer.hint)
    if not (isinstance(kind, type) and issubclass(kind, MlopsfwError)):
        return error
    made: MlopsfwError = kind.__new__(kind)
    made.args, made.message, made.hint = (answer.message,), answer.message, answer.hint
    return made


def _main(scratch: Path) -> None:
    """Make the bundle, in the process."""
    order = msgspec.json.decode((scratch / _ORDER).read_bytes(), type=_Order, dec_hook=lambda kind, text: kind(text))
    signal.alarm(order.seconds)  # ends the process in the middle of a library's loop, too
    resource.setrlimit(resource.RLIMIT_DATA, (order.memory, order.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with Project.open(order.root, config=ProjectConfig.from_json(order.config)) as project:
            answer = _Answer(task=make_bundle(project, scratch, order.model, _rows(scratch / _ROWS)))
    except MlopsfwError as error:
        answer = _Answer(error=type(error).__name__, message=error.message, hint=error.hint)
    except Exception as error:  # noqa: BLE001 - a library's, about a file that may hold anything
        text = errors.text_of(error).partition("\n")[0]
        answer = _Answer(error=BundleError.__name__, message=_words(order.model.file.name, text, order.memory))
    (scratch / _ANSWER).write_bytes(msgspec.json.encode(answer))


def _rows(file: Path) -> pl.DataFrame | None:
    if not file.is_file():
        return None
    import polars as pl

    return pl.read_ipc(file)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
