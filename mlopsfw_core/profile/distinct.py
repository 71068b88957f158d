"""How many distinct values: HyperLogLog (Flajolet and others 2007) read by Ertl's improved estimator (arXiv 1702.01284, algorithm 6)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt

import numpy as np

PRECISION = 10
REGISTERS = 1 << PRECISION
HIGHEST = 65 - PRECISION
"""The largest that a register can hold: all remaining bits of the hash are 0."""


@dataclass(frozen=True, slots=True)
class Distinct:
    """1,024 registers, one byte each."""

    registers: bytes = bytes(REGISTERS)

    def estimate(self) -> float:
        """Return the estimated number of distinct values; standard error 3.25% of it, less for small numbers."""
        tally = np.bincount(np.frombuffer(self.registers, np.uint8), minlength=HIGHEST + 1).tolist()
        z = REGISTERS * _tau(1 - tally[HIGHEST] / REGISTERS)
        for rank in range(HIGHEST - 1, 0, -1):
            z = 0.5 * (z + tally[rank])
        z += REGISTERS * _sigma(tally[0] / REGISTERS)
        return REGISTERS * REGISTERS / (2 * log(2) * z) if z < inf else 0.0

    def merge(self, other: Distinct) -> Distinct:
        """Return the registers of both samples together; exactly those of one pass."""
        pair = [np.frombuffer(each.registers, np.uint8) for each in (self, other)]
        return Distinct(np.maximum(*pair).tobytes())


def _sigma(x: float) -> float:
    """Sum of x^(2^k) 2^(k-1) over k, and x: what the untouched registers say."""
    if x == 1.0:
        return inf
    y, z = 1.0, x
    while True:
        x *= x
        before, z = z, z + x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    """The same for the saturated registers."""
    if x in {0.0, 1.0}:
        return 0.0
    y, z = 1.0, 1 - x
    while True:
        x = sqrt(x)
        before, y = z, 0.5 * y
        z -= (1 - x) ** 2 * y
        if z == before:
            return z / 3
