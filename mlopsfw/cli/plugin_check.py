"""`mlopsfw plugins check`: the checks of a plugin package and its tests, each in a process with a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from mlopsfw.cli.plugin_checks import Result
from mlopsfw.kernel.base.errors import UsageError

_TAIL = 15  # lines of a failed test run that are shown


def check_package(package: str, timeout: float, tell: Callable[[str], None]) -> Iterator[Result]:
    """Yield the results of a package's checks, and of its tests where `package` is its folder.

    Args:
        package: The name of an installed distribution, or the folder with its `pyproject.toml`.
        timeout: Seconds that the checks may take, and again the tests.
        tell: Called with a line as each check begins, and with each line that the tests print.

    Raises:
        UsageError: There is no such package, or it is not installed.
    """
    folder = Path(package)
    is_folder = (folder / "pyproject.toml").is_file()
    yield from _checks(_distribution(folder) if is_folder else package, timeout, folder if is_folder else None, tell)
    if is_folder and (folder / "tests").is_dir():
        tell(f"the tests in {folder / 'tests'}")
        yield _tests(folder, timeout, tell)


def _distribution(folder: Path) -> str:
    try:
        name = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / 'pyproject.toml'} names no project: {error}", hint="Write [project] name."
        ) from None
    return str(name)


def _checks(distribution: str, timeout: float, folder: Path | None, tell: Callable[[str], None]) -> Iterator[Result]:
    process = _Process([sys.executable, "-m", "mlopsfw.cli.plugin_checks", distribution], timeout)
    begun: tuple[str, str] | None = None
    for line in map(json.loads, process.lines()):
        if "error" in line:
            message, hint = line["error"]
            raise UsageError(message, hint=f"Run: pip install -e {folder}" if folder else hint)
        if "begin" in line:
            begun = tuple(line["begin"])
            tell(": ".join(line["begin"]))
        else:
            begun = None
            yield Result(*line["result"])
    if begun:
        code = process.code
        how = f"did not end within {timeout:g} s" if code is None else f"ended the process with code {code}"
        yield Result(*begun, ok=False, message=how, seconds=process.seconds)
    elif process.code:
        message = f"the checks of {distribution} ended with code {process.code}"
        raise UsageError(message, hint="Their output stands above.")


def _tests(folder: Path, timeout: float, tell: Callable[[str], None]) -> Result:
    command = [sys.executable, "-u", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    process, lines = _Process(command, timeout, folder), list[str]()
    for line in process.lines():
        lines += [line] if line else []
        tell(line)
    code, message = process.code, "\n".join(lines[-_TAIL:] if process.code else lines[-1:])
    if code is None:
        message = f"did not end within {timeout:g} s"
    return Result(folder.resolve().name, "tests", ok=code == 0, message=message, seconds=process.seconds)


class _Process:
    """A process with a time limit, whose lines are read as it prints them.

    Args:
        command: What to run.
        timeout: Seconds after which it is killed.
        folder: Where it runs; here by default.
    """

    def __init__(self, command: list[str], timeout: float, folder: Path | None = None) -> None:
        self._command, self._timeout, self._folder = command, timeout, folder
        self.code: int | None = None  # none of its own where it was killed because its time was over
        self.seconds = 0.0

    def lines(self) -> Iterator[str]:
        """Yield what it prints, line by line. Then its code and seconds are there."""
        began = time.monotonic()
        with subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=self._folder,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process:
            timer = threading.Timer(self._timeout, process.kill)
            timer.start()
            try:
                yield from (line.rstrip() for line in process.stdout or ())
                code = process.wait()
            finally:
                timer.cancel()
                process.kill()
        self.seconds = time.monotonic() - began
        self.code = None if self.seconds >= self._timeout else code
