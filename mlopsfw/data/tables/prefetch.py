"""Compute results ahead of their consumer on a few threads, in order. The work must release the GIL."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 4  # threads: more would overtake the thread that hashes and writes their results


def in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int = 0) -> Iterator[Result]:
    """Yield `work` of each item, in order. Memory holds at most one more result than there are threads.

    Args:
        work: Makes a result of an item.
        items: The items.
        threads: How many work; 0 for one a core, up to 4.
    """
    import pyarrow as pa

    threads = threads or min(pa.cpu_count(), _MOST)
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
