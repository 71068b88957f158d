"""Load a model file from elsewhere in a process of its own, with a deadline and a limit on memory, and make its bundle there.

A graph may loop without end, or make a tensor of terabytes from one row: then that process ends, and the project has no bundle.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import BundleError, MlopsfwError, text_of
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.pipeline.run.failure import error_from_json, error_to_json
from mlopsfw.project.facade import Project
from mlopsfw.project.logged_model import ModelFile, make_bundle

if TYPE_CHECKING:
    import polars as pl

SECONDS, CONVERSION = 300, 600
"""Seconds to load the file and to compute its answers, and those in addition to convert an export of torch."""
MEMORY, TIMES = 8 << 30, 8
"""Bytes that the process may allocate, and the multiple of the file's size that it may allocate in addition."""
_SLACK = 10.0  # seconds after the deadline in which the process ends itself, before it is killed
_REQUEST, _ROWS, _RESULT = "request.json", "rows.arrow", "result.json"


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    root: Path
    config: str
    model: ModelFile
    seconds: int
    memory: int


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the process made: a bundle of a model of this task, or an error as JSON."""

    task: str = ""
    error: str = ""


def make_bundle_in_subprocess(project: Project, scratch: Path, model: ModelFile, rows: pl.DataFrame | None) -> str:
    """Make the bundle of a model file in `scratch / "bundle"`, in a process of its own; return its task.

    Raises:
        MlopsfwError: As `make_bundle`.
        BundleError: The process ran out of time or memory, or crashed.
    """
    seconds = SECONDS + (CONVERSION if model.file.suffix == ".pt2" else 0)
    size = model.file.stat().st_size if model.file.is_file() else 0
    request = _Request(
        root=project.root,
        config=project.config.to_json(),
        model=msgspec.structs.replace(model, file=model.file.absolute()),
        seconds=seconds,
        memory=MEMORY + TIMES * size,
    )
    (scratch / _REQUEST).write_bytes(msgspec.json.encode(request, enc_hook=str))
    if rows is not None:
        rows.write_ipc(scratch / _ROWS)
    code, text = _run_process(scratch, seconds + _SLACK)
    file = scratch / _RESULT
    if code or not file.is_file():
        raise _failure(model.file.name, code, text, request)
    result = msgspec.json.decode(file.read_bytes(), type=_Result)
    if result.error:
        raise error_from_json(result.error.encode())
    return result.task


def _run_process(scratch: Path, patience: float) -> tuple[int, str]:
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


def _failure(name: str, code: int, text: str, request: _Request) -> BundleError:
    if code == -signal.SIGALRM:
        hint = "Look for a loop that does not end, or export a smaller model."
        return BundleError(f"{name} did not load and answer within {request.seconds} s", hint=hint)
    if code < 0 and code != -signal.SIGKILL:
        return BundleError(f"{name} crashes the process that loads it (signal {-code})")
    last = (text.strip().splitlines() or ["the process ended"])[-1]
    return BundleError(_message(name, last if code > 0 else "MemoryError", request.memory))


def _message(name: str, text: str, memory: int) -> str:
    """Return what is wrong with a file, from the text of an error."""
    if any(word in text for word in ("MemoryError", "bad_alloc", "allocate")):
        return f"{name} needs more than {memory / (1 << 30):g} GiB of memory to load and answer a few rows"
    return f"{name} cannot be loaded and asked for its answers: {text[:300]}"


def _main(scratch: Path) -> None:
    """Make the bundle, in the process."""
    request = msgspec.json.decode(
        (scratch / _REQUEST).read_bytes(), type=_Request, dec_hook=lambda kind, text: kind(text)
    )
    signal.alarm(request.seconds)  # ends the process in the middle of a library's loop, too
    resource.setrlimit(resource.RLIMIT_DATA, (request.memory, request.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with Project.open(request.root, config=ProjectConfig.from_json(request.config)) as project:
            result = _Result(task=make_bundle(project, scratch, request.model, _rows(scratch / _ROWS)))
    except MlopsfwError as error:
        result = _Result(error=error_to_json(error).decode())
    except Exception as error:  # noqa: BLE001 - a library's, about a file that may hold anything
        text = text_of(error).partition("\n")[0]
        wrong = BundleError(_message(request.model.file.name, text, request.memory))
        result = _Result(error=error_to_json(wrong).decode())
    (scratch / _RESULT).write_bytes(msgspec.json.encode(result))


def _rows(file: Path) -> pl.DataFrame | None:
    if not file.is_file():
        return None
    import polars as pl

    return pl.read_ipc(file)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
