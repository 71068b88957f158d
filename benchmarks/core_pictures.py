"""Draw docs/pictures/*.svg: how each statistic answers to a shift, a scale and a tail change that grow.

Run: python benchmarks/core_pictures.py FOLDER. Two samples of 1,000 standard normal values, the second shifted by 0.5 s, scaled by
1 + 0.5 s, or with a share of 0.1 s of its values multiplied by 6, for s from 0 to 1. Each point is the median of 9 draws. Tests are
drawn as -log10 p, at most 12; distances as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import log10
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from core_responses import DISTANCES, TESTS

from mlopsfw_core import drift

STEPS, DRAWS, ROWS, MOST = 9, 9, 1000, 12.0

CHANGES = {
    "shift": lambda _, values, s: values + 0.5 * s,
    "scale": lambda _, values, s: values * (1 + 0.5 * s),
    "tail": lambda rng, values, s: np.where(rng.random(values.size) < 0.1 * s, values * 6, values),
}

MORE_TESTS = {
    "fisher_exact": lambda x, y: drift.fisher_exact(_halves(x, y)).pvalue,
    "proportions_ztest": lambda x, y: drift.proportions_ztest(_halves(x, y)[0], (x.size, y.size)).pvalue,
    "mmd_test": lambda x, y: drift.mmd_test(x[:150, None], y[:150, None], 0.5, 199).pvalue,
    "permutation_test": lambda x, y: drift.permutation_test(x, y, _median_gap, 199).pvalue,
}
MORE_DISTANCES = {
    "mmd2_unbiased": lambda x, y: drift.mmd2_unbiased(x[:, None], y[:, None], 0.5),
    "mmd2_linear": lambda x, y: drift.mmd2_linear(x[:, None], y[:, None], 0.5),
}


def _halves(x: np.ndarray, y: np.ndarray) -> list[list[int]]:
    """Return rows above 1 in both samples, and the others: what a table of two proportions would hold."""
    above = [int((x > 1).sum()), int((y > 1).sum())]
    return [above, [x.size - above[0], y.size - above[1]]]


def _median_gap(a: np.ndarray, b: np.ndarray) -> float:
    return abs(float(np.median(a) - np.median(b)))


def curve(value: Callable, change: Callable) -> list[float]:
    """Return the median answer at each strength of a change."""
    points = []
    for step in range(STEPS):
        seen = []
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)
            x, y = rng.normal(size=(2, ROWS))
            seen.append(value(x, change(rng, y, step / (STEPS - 1))))
        points.append(float(np.median(seen)))
    return points


STYLE = (
    "text{font:11px sans-serif;fill:#444}.a{stroke:#888;fill:none}polyline{fill:none;stroke-width:2}"
    ".shift{stroke:#1f77b4}.scale{stroke:#d95f02;stroke-dasharray:6 3}.tail{stroke:#2a9d4a;stroke-dasharray:2 3}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.shift{stroke:#6cb6ff}.scale{stroke:#ff9d57}.tail{stroke:#62d183}}"
)


def picture(name: str, label: str, curves: dict[str, list[float]]) -> str:
    """Write three lines over the strength of the change as SVG."""
    top = max(max(points) for points in curves.values()) or 1.0
    low = min(0.0, *(min(points) for points in curves.values()))

    def at(step: int, value: float) -> str:
        return f"{50 + 240 * step / (STEPS - 1):.0f},{130 - 110 * (value - low) / (top - low):.1f}"

    lines, legend = [], []
    for row, (change, points) in enumerate(curves.items()):
        path = " ".join(at(step, value) for step, value in enumerate(points))
        lines.append(f'<polyline class="{change}" points="{path}"/>')
        y = 40 + 22 * row
        legend.append(f'<polyline class="{change}" points="305,{y} 333,{y}"/><text x="338" y="{y + 4}">{change}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 385 165" width="385" height="165" role="img">'
        f"<title>{name} under a growing shift, scale and tail change</title><style>{STYLE}</style>"
        f'<path class="a" d="M50 15V130H295"/>{"".join(lines)}{"".join(legend)}'
        f'<text x="46" y="24" text-anchor="end">{top:.3g}</text><text x="46" y="134" text-anchor="end">{low:.2g}</text>'
        f'<text x="50" y="11">{label}</text><text x="50" y="145">none</text>'
        f'<text x="290" y="145" text-anchor="end">full</text><text x="170" y="158" text-anchor="middle">change</text></svg>\n'
    )


def main(folder: Path) -> None:
    """Draw every statistic that looks at two samples."""
    folder.mkdir(parents=True, exist_ok=True)
    tests = {
        name: lambda x, y, p=p: min(MOST, -log10(max(p(x, y), 1e-300))) for name, p in {**TESTS, **MORE_TESTS}.items()
    }
    labelled = [("-log10 p", tests), ("value", {**DISTANCES, **MORE_DISTANCES})]
    for label, statistics in labelled:
        for name, value in statistics.items():
            curves = {change: curve(value, how) for change, how in CHANGES.items()}
            (folder / f"{name}.svg").write_text(picture(name, label, curves), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
