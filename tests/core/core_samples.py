"""Samples that break statistics: ties, atoms, heavy tails, constants, denormals, single rows; pairs related and not."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

MAKERS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "ties": lambda rng, n: rng.integers(0, 5, n).astype(float),
    "rounded": lambda rng, n: rng.normal(size=n).round(1),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "atom": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n)),
    "constant": lambda rng, n: np.full(n, 3.25),
    "denormal": lambda rng, n: rng.integers(-3, 4, n) * 5e-324,
    "offset": lambda rng, n: 1e9 + rng.normal(size=n),
}


def pair(seed: int, largest: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Draw two samples of one kind; every other pair is shifted."""
    rng = np.random.default_rng(seed)
    make = MAKERS[list(MAKERS)[seed % len(MAKERS)]]
    m, n = rng.integers(1, largest, 2)
    n = m if rng.random() < 0.25 else n
    return make(rng, m), make(rng, n) + (rng.normal() if seed % 2 else 0.0)


finite = st.floats(-1e6, 1e6, width=32).map(float)
samples = st.lists(finite, min_size=1, max_size=40).map(np.array)
counts = st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any)
