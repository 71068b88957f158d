"""`mlopsfw plugins check`: the checks of a plugin package and its tests, each in a process with a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from mlopsfw.cli.plugin_checks import Result
from mlopsfw.kernel.base.errors import UsageError

_TAIL = 15  # lines of a failed test run that are shown


def check_package(package: str, timeout: float) -> Iterator[Result]:
    """Yield the results of a package's checks, and of its tests where `package` is its folder.

    Args:
        package: The name of an installed distribution, or the folder with its `pyproject.toml`.
        timeout: Seconds that the checks may take, and again the tests.

    Raises:
        UsageError: There is no such package, or it is not installed.
    """
    folder = Path(package)
    is_folder = (folder / "pyproject.toml").is_file()
    yield from _checks(_distribution(folder) if is_folder else package, timeout, folder if is_folder else None)
    if is_folder and (folder / "tests").is_dir():
        yield _tests(folder, timeout)


def _distribution(folder: Path) -> str:
    try:
        name = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / 'pyproject.toml'} names no project: {error}", hint="Write [project] name."
        ) from None
    return str(name)


def _checks(distribution: str, timeout: float, folder: Path | None) -> Iterator[Result]:
    command = [sys.executable, "-m", "mlopsfw.cli.plugin_checks", distribution]
    out, code = _run(command, timeout)
    begun: tuple[str, str] | None = None
    for line in map(json.loads, out.splitlines()):
        if "error" in line:
            message, hint = line["error"]
            raise UsageError(message, hint=f"Run: pip install -e {folder}" if folder else hint)
        if "begin" in line:
            begun = tuple(line["begin"])
        else:
            begun = None
            yield Result(*line["result"])
    if begun:
        how = f"did not end within {timeout:g} s" if code is None else f"ended the process with code {code}"
        yield Result(*begun, ok=False, message=how)
    elif code:
        raise UsageError(f"the checks of {distribution} ended with code {code}", hint="Their output stands above.")


def _tests(folder: Path, timeout: float) -> Result:
    out, code = _run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], timeout, folder)
    lines = out.strip().splitlines()
    if code is None:
        return Result(folder.resolve().name, "tests", ok=False, message=f"did not end within {timeout:g} s")
    message = "\n".join(lines[-_TAIL:] if code else lines[-1:])
    return Result(folder.resolve().name, "tests", ok=code == 0, message=message)


def _run(command: list[str], timeout: float, folder: Path | None = None) -> tuple[str, int | None]:
    """Return what a process printed, and its exit code: None where it was killed because its time was over."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=folder, text=True, encoding="utf-8"
    )
    try:
        out, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        return out, None
    return out, process.returncode
