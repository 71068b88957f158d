"""Record which function of mlopsfw and its plugins calls which, in this process and in the processes that it starts.

`recording(folder)` records in this process. Others record into the folder that `MLOPSFW_WALK` names, if this folder is on their path:
Python imports `sitecustomize` when it starts. A walk is passed twice; the file `AGAIN` in the folder begins the second passage.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
ROOTS = (f"{ROOT}/mlopsfw/", f"{ROOT}/plugins/")
FOLDER, AGAIN = "MLOPSFW_WALK", "AGAIN"


class Function(NamedTuple):
    """A function: its file below the repository, and its qualified name."""

    file: str
    name: str


class Call(NamedTuple):
    """One function called another, for the first time in a process and a passage.

    Args:
        at: Nanoseconds of a clock that all processes of this machine share.
        caller: The nearest function of mlopsfw or a plugin that led to the call; None where there is none.
        callee: What was called.
        owner: `module:class` of the object whose method it is; empty for a function.
        again: Whether it is of the second passage.
    """

    at: int
    caller: Function | None
    callee: Function
    owner: str
    again: bool


@cache
def function_of(code: CodeType) -> Function | None:
    """Return the function of mlopsfw or a plugin whose code this is; None for all other code."""
    file = os.path.realpath(code.co_filename)
    return Function(file.removeprefix(f"{ROOT}/"), code.co_qualname) if file.startswith(ROOTS) else None


class Recorder:
    """Writes calls to a file of this process, each pair of functions once a passage."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._again = folder, False
        self._seen: set[tuple[bool, CodeType | None, CodeType]] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call; for `sys.setprofile`."""
        if event != "call" or (callee := function_of(frame.f_code)) is None:
            return
        self._again = self._again or (self._folder / AGAIN).exists()
        caller = next(outer := _house(frame.f_back), None)
        call = (self._again, caller and caller.f_code, frame.f_code)
        if call in self._seen:
            return
        self._seen.add(call)
        if not any(_imports(each) for each in (frame, *filter(None, [caller]), *outer)):
            self._write(
                Call(time.monotonic_ns(), caller and function_of(caller.f_code), callee, _owner(frame), self._again)
            )

    def _write(self, call: Call) -> None:
        with (self._folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(call) + "\n")

    def start(self) -> None:
        """Begin, in this thread and in those that start from now on."""
        threading.setprofile(self)
        sys.setprofile(self)


def _house(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames of mlopsfw and its plugins, the innermost first."""
    while frame is not None:
        if function_of(frame.f_code) is not None:
            yield frame
        frame = frame.f_back


def _imports(frame: FrameType) -> bool:
    """Return whether it is the body of a module that is imported, or of a class, or a finder of modules."""
    if frame.f_code.co_name == "find_spec":  # of `[plugins] modules`, or left by a test before
        return True
    return not frame.f_code.co_flags & inspect.CO_OPTIMIZED and frame.f_globals.get("__name__") != "__main__"


def _owner(frame: FrameType) -> str:
    if frame.f_code.co_varnames[:1] != ("self",) or "self" not in frame.f_locals:
        return ""
    kind = type(frame.f_locals["self"])
    return f"{kind.__module__}:{kind.__qualname__}"


@contextmanager
def recording(folder: Path) -> Iterator[Callable[[], None]]:
    """Record what happens within the block, here and in the processes that record into `folder`; what is yielded begins the second passage."""
    Recorder(folder).start()
    try:
        yield (folder / AGAIN).touch
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def calls(folder: Path) -> list[Call]:
    """Return what was recorded, in the order of time."""
    lines = [line for file in folder.glob("*.jsonl") for line in file.read_text(encoding="utf-8").splitlines()]
    rows = sorted(json.loads(line) for line in lines)
    return [Call(at, caller and Function(*caller), Function(*callee), *rest) for at, caller, callee, *rest in rows]
