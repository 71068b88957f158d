"""How many threads the core may use, and a map over columns that uses them. Results never depend on the number."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

VARIABLE = "MLOPSFW_THREADS"

_CGROUP = Path("/sys/fs/cgroup/cpu.max")


def _container_limit() -> int | None:
    """Return the processors that the container's quota pays for, rounded up; None without a quota."""
    try:
        quota, period = _CGROUP.read_text(encoding="ascii").split()
        return max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return None


def thread_count() -> int:
    """Return how many threads to use: `MLOPSFW_THREADS`, else the processors that this process may run on and has a quota for.

    Raises:
        ValueError: the variable is set to something else than a whole number of at least 1.
    """
    setting = os.environ.get(VARIABLE)
    if setting:
        if not setting.isdecimal() or int(setting) < 1:
            raise ValueError(f"{VARIABLE} is a whole number of at least 1, not {setting!r}")
        return int(setting)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, _container_limit() or available)


def map_columns(work: Callable[[Item], Result], columns: Sequence[Item], *, worthwhile: bool) -> list[Result]:
    """Apply `work` to each column, in parallel where that is `worthwhile`; the order is kept, the first error is raised."""
    threads = min(thread_count(), len(columns)) if worthwhile else 1
    if threads <= 1:
        return [work(column) for column in columns]
    with ThreadPoolExecutor(threads, thread_name_prefix="mlopsfw-core") as pool:
        return list(pool.map(work, columns))
