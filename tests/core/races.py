"""Threads that share what was prepared once, for ThreadSanitizer; run by test_sanitizers.py, whose build sees every access of ours.

NumPy and lists only: Polars' allocator does not start under ThreadSanitizer, and Arrow's synchronises in ways that it does not see.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from mlopsfw_core import Reference, _sorting, compare_table, drift, hash_features, hash_indices, hash_text, online
from mlopsfw_core.profile import profile

THREADS, ROUNDS, ROWS = 4, 3, 30_000
rng = np.random.default_rng(0)
TABLE = {f"n{i}": rng.normal(i / 20, size=ROWS) for i in range(4)}
TABLE["c"] = rng.choice(["a", "b", "a text of more than twelve bytes"], ROWS).tolist()
NUMBERS, OTHERS, TEXTS = TABLE["n0"], TABLE["n3"][:20_000], TABLE["c"]

SHARED = {
    "KsReference": (lambda: drift.KsReference(NUMBERS), lambda kept: kept.ks_2samp(OTHERS)),
    "Reference": (lambda: Reference.fit(NUMBERS), lambda kept: repr(kept.compare(OTHERS))),
    "Reference of texts": (lambda: Reference.fit(TEXTS), lambda kept: repr(kept.compare(TEXTS[:20_000]))),
    "References of a table": (
        lambda: {name: Reference.fit(column, name=name) for name, column in TABLE.items()},
        lambda kept: repr(compare_table(kept, TABLE)),
    ),
    "profiles that are merged": (
        lambda: (profile(TABLE), profile({name: column[:9_000] for name, column in TABLE.items()})),
        lambda kept: kept[0].merge(kept[1]).to_bytes(),
    ),
    "sample": (lambda: NUMBERS, lambda kept: repr(drift.rank_statistics(kept, OTHERS)) + str(drift.psi(kept, OTHERS, 10))),
    "sample sorted by cells": (
        lambda: NUMBERS,
        lambda kept: _sorting.ascending_by_cells(kept).tobytes() if _sorting.HAS_CELLS else b"",
    ),
    "stream": (lambda: NUMBERS, lambda kept: online.ADWIN().update_many(kept).tolist()),
    "texts": (lambda: TEXTS[:5_000], lambda kept: hash_indices(kept, 97).tobytes() + hash_text(kept).data.tobytes()),
    "features": (
        lambda: {name: TABLE[name][:5_000] for name in ("c", "n0")},
        lambda kept: hash_features(kept, crosses=[("c", "n0")]).indices.tobytes(),
    ),
}  # fmt: skip


def main() -> None:
    """Let the threads meet over each; an answer that differs is an error, and a race is the sanitizer's to report."""
    for name, (make, use) in SHARED.items():
        kept, expected, together = make(), use(make()), Barrier(THREADS)

        def hammer(_: int, use=use, kept=kept, together=together) -> list:
            together.wait()
            return [use(kept) for _ in range(ROUNDS)]

        with ThreadPoolExecutor(THREADS) as pool:
            assert all(answer == expected for answers in pool.map(hammer, range(THREADS)) for answer in answers), name


if __name__ == "__main__":
    main()
    sys.stdout.write(f"{len(SHARED)} things shared by {THREADS} threads\n")
