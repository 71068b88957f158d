"""False alarms of the detectors with a stated rate, measured: the first tables of docs/core-online.md, as Markdown.

Run: python benchmarks/core_rates.py [streams]. Each of 2,000 streams (the default) has 10,000 rows without a change and, in the second
table, a reference sample of its own; the cases are those of tests/core/test_online_rates.py, at `arl` = 1,000: at most one alarm in 1,000 rows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "core"))
from test_online_rates import ARL, KNOWN, ROWS, SAMPLED


def main(streams: int) -> None:
    """Print both tables; end with status 1 where a rate is above what was stated by more than three standard errors."""
    worst = 0.0
    for title, cases in (("the truth is known", KNOWN), ("a fresh reference sample for each stream", SAMPLED)):
        print(f"| no change: {title} | alarms in 1,000 rows | stated: at most | streams |\n|---|---|---|---|")
        for name, (make, draw) in cases.items():
            rng = np.random.default_rng(41)
            alarms = np.array([len(make(rng).update_many(draw(rng, ROWS))) for _ in range(streams)]) * 1000 / ROWS
            error = float(alarms.std() / np.sqrt(streams))
            worst = max(worst, float(alarms.mean()) - 3 * error)
            print(f"| {name} | {alarms.mean():.4f} ± {error:.4f} | {1000 / ARL:g} | {streams:,} |", flush=True)
        print()
    sys.exit(worst > 1000 / ARL)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
