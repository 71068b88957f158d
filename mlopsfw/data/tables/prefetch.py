"""Do work ahead of its consumer on a few threads, and yield the results in order. The work must let other threads run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 4  # threads: more outrun the one that hashes and writes what they make


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `work` of each item, in order; at most one more result than there are threads waits in memory."""
    import pyarrow as pa

    threads = min(pa.cpu_count(), _MOST)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:  # starts a thread only when there is work for it
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
