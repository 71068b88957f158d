"""Calls each inner loop of the core once on 100,000 values (two samples of them where it takes two), for an instruction count.

Run: valgrind --tool=callgrind --callgrind-out-file=core.out python benchmarks/core_instructions.py && callgrind_annotate core.out
"""

from __future__ import annotations

import numpy as np

from mlopsfw_core import online
from mlopsfw_core.drift._binning import count_bins
from mlopsfw_core.drift._gaps import grid_extremes
from mlopsfw_core.drift._levels import sorted_levels
from mlopsfw_core.drift._ranks import rank_sums

rng = np.random.default_rng(7)
x, y = rng.random(100_000), rng.random(100_000) * 1.004
rank_sums(np.sort(x), np.sort(y))
grid_extremes(x, y)
sorted_levels(x.round(2))
count_bins(x, np.arange(1, 10) / 10)

bits = (rng.random(100_000) < 0.3).astype(float)
for detector in (online.DDM, online.EDDM, online.FHDDM, online.HDDM_A, online.HDDM_W):
    detector().update_many(bits)
for detector in (online.PageHinkley, online.ADWIN):
    detector().update_many(x)
