"""Times whole programs beside their peers, which live in an environment of their own; README.md says how to install them.

Ours and the peer's runs alternate, so that a busy neighbour slows both, and medians are compared. Both are run once before they are
timed, so that byte code is compiled and files are cached. A peer's usage reports are switched off before it is run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest

PEERS = os.path.abspath(found) if (found := os.environ.get("MLOPSFW_PEERS_PYTHON")) else ""  # noqa: PTH100 - a link must stay one
QUIET = {
    "DO_NOT_TRACK": "1",
    "KEDRO_DISABLE_TELEMETRY": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
ENVIRONMENT = {**os.environ, **QUIET, "PYTHONDONTWRITEBYTECODE": ""}

needs_peers = pytest.mark.skipif(
    not PEERS, reason="MLOPSFW_PEERS_PYTHON names no interpreter; see benchmarks/README.md"
)


def mlopsfw(*words: str) -> list[str]:
    """Return our command as a user of this interpreter has it: the script beside it, or the module."""
    script = Path(sys.executable).with_name("mlopsfw")
    return [str(script), *words] if script.exists() else [sys.executable, "-m", "mlopsfw", *words]


def peer(name: str, *words: str) -> list[str]:
    """Return the command of a peer's script."""
    return [str(Path(PEERS).with_name(name)), *words]


def run(command: Sequence[str], folder: Path) -> str:
    """Return what a program writes to its output; it must end well."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clocked(work: Callable[[], object], prepare: Callable[[], object] | None = None) -> Callable[[], float]:
    """Return a function that does the work and returns its seconds; preparing is not counted."""

    def clock() -> float:
        if prepare:
            prepare()
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return clock


def measure(
    benchmark: Any,
    ours: Callable[[], object],
    peers: dict[str, Callable[[], float]] | None = None,
    *,
    prepare: Callable[[], object] | None = None,
    rounds: int = 5,
) -> dict[str, float]:
    """Time ours and its peers in turn; print and record medians and how many times longer each peer takes.

    Args:
        benchmark: pytest-benchmark's fixture.
        ours: The work.
        peers: By name, what returns the seconds that the peer took.
        prepare: Called before each of our runs, not counted.
        rounds: How often each is timed.

    Returns:
        The median seconds by name; ours is "mlopsfw".
    """
    clocks = {"mlopsfw": clocked(ours, prepare), **(peers or {})}
    for clock in clocks.values():
        clock()
    seen: dict[str, list[float]] = {name: [] for name in clocks}

    def others_first() -> None:
        for name in peers or {}:
            seen[name].append(clocks[name]())
        if prepare:
            prepare()

    benchmark.pedantic(ours, setup=others_first, rounds=rounds)
    seen["mlopsfw"] = benchmark.stats.stats.data
    seconds = {name: median(times) for name, times in seen.items()}
    ratios = {name: round(value / seconds["mlopsfw"], 2) for name, value in seconds.items() if name != "mlopsfw"}
    benchmark.extra_info.update(seconds=seconds, ratios=ratios)
    shown = [
        f"mlopsfw {seconds['mlopsfw']:.3f} s",
        *(f"{name} {seconds[name]:.3f} s: {ratio:.1f} x" for name, ratio in ratios.items()),
    ]
    print(f"\n    {benchmark.name}: {', '.join(shown)}")
    return seconds
