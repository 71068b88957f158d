"""The order in which one epoch reads a table's rows: whole blocks in random order, shuffled together in windows.

A shuffle of single rows would read each of them alone. So the blocks of an epoch are put in random order and divided among the shards, and rows
are shuffled within windows of a few blocks. A shard that fits into one window is shuffled evenly. The order depends on the seed, the epoch and
the number of rows, never on files or row groups. It is made of raw bits of PCG64, whose stream NumPy keeps in every version.

"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BLOCK = 1 << 16
"""Rows in a block."""
WINDOW = 4
"""Blocks that are shuffled together: what an epoch holds in memory."""


def block_sizes(rows: int) -> tuple[int, ...]:
    """Return the rows of each block of a table."""
    return tuple(min(BLOCK, rows - at) for at in range(0, rows, BLOCK))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One epoch of one shard.

    Args:
        sizes: The rows of each block of the table, of at most `BLOCK` rows; see `block_sizes`.
        seed: Shuffles; None keeps the table's order.
        epoch: From 0; each has an order of its own.
        shard: Rank, and the number of shards.
    """

    sizes: tuple[int, ...]
    seed: int | None
    epoch: int
    shard: tuple[int, int]

    def windows(self) -> Iterator[Window]:
        """Yield what to read together, in order."""
        ranges = self._ranges()
        together = 1 if self.seed is None else WINDOW
        for number, at in enumerate(range(0, len(ranges), together)):
            yield Window(tuple(ranges[at : at + together]), self, number)

    def _ranges(self) -> list[tuple[int, int, int]]:
        """Return the shard's part of the blocks in their order, as (block, start, stop) of rows within the block."""
        rank, of = self.shard
        share = sum(self.sizes) // of
        first, last = rank * share, (rank + 1) * share
        blocks = len(self.sizes)
        order = range(blocks) if self.seed is None else self.permutation(blocks, 0).tolist()
        found, at = [], 0
        for block in order:
            size = self.sizes[block]
            begin, end = max(first - at, 0), min(last - at, size)
            if begin < end:
                found.append((block, begin, end))
            at += size
        return found

    def permutation(self, count: int, *key: int) -> np.ndarray:
        """Return the numbers below `count` in the random order that belongs to seed, epoch and `key`."""
        entropy = [(self.seed or 0) % (1 << 64), self.epoch, *key]
        bits = np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count)
        return np.argsort(bits, kind="stable")


@dataclass(frozen=True, slots=True)
class Window:
    """Rows that are read and shuffled together.

    Args:
        ranges: (block, start, stop) of rows within the block.
        order: The epoch's.
        number: Its place in the shard, from 0.
    """

    ranges: tuple[tuple[int, int, int], ...]
    order: Order
    number: int

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(stop - start for _, start, stop in self.ranges)

    def permutation(self) -> np.ndarray | None:
        """Return the order of its rows, or None for the order of the table."""
        if self.order.seed is None:
            return None
        return self.order.permutation(self.rows, 1, self.order.shard[0], self.number)
