"""Times a function and its peer in turn, in one process, on the same data; the ratio goes into the benchmark's record.

Both are called once before they are timed, and the caller has asserted that they answer alike. Rounds alternate, so that a
busy neighbour slows both; the best of each is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any


def best_of(function: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    function()
    return perf_counter() - start


def compare(benchmark: Any, ours: Callable[[], Any], peer: Callable[[], Any], name: str, rounds: int = 5) -> float:
    """Benchmark `ours`, time `peer` between its rounds, print and record how many times faster ours is."""
    ours(), peer()
    times = [(best_of(ours), best_of(peer)) for _ in range(rounds)]
    mine, theirs = (min(column) for column in zip(*times, strict=True))
    benchmark.pedantic(ours, rounds=rounds)
    ratio = theirs / mine
    benchmark.extra_info.update(peer=name, peer_seconds=theirs, seconds=mine, ratio=round(ratio, 2))
    print(f"\n    {benchmark.name}: {mine * 1e3:.3f} ms, {name} {theirs * 1e3:.3f} ms, {ratio:.1f} times faster")
    return ratio
