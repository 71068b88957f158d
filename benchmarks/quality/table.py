"""The table of the quality runs: mean of the metric for each set and model, the sets that ours lost first, and ranks with their intervals.

A model's rank on a set is its place by the mean over the seeds, ties shared. The interval of a mean rank is a percentile bootstrap over the
sets (10,000 resamples, 95%), as the sets are what the claim generalises over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata
from sets import SETS

RESAMPLES = 10_000
HIGHER = {"auc": True, "accuracy": True, "rmse": False}


def means(cells: list[dict[str, Any]], half: str, models: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """Return for each complete set and model the values by seed."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for each in cells:
        if each["half"] == half and each["model"] in models:
            found.setdefault(each["set"], {}).setdefault(each["model"], {})[each["seed"]] = each["value"]
    whole = {}
    for name, by_model in found.items():
        if set(by_model) != set(models):
            continue
        seeds = set.intersection(*(set(values) for values in by_model.values()))
        if seeds:
            whole[name] = {model: np.array([by_model[model][seed] for seed in sorted(seeds)]) for model in models}
    return whole


def ranks(values: dict[str, dict[str, np.ndarray]], models: list[str]) -> np.ndarray:
    """Return `[sets, models]`: 1 for the best mean of a set."""
    metric = {each.name: each.metric for each in SETS}
    table = [
        rankdata([(-1 if HIGHER[metric[name]] else 1) * by_model[model].mean() for model in models])
        for name, by_model in values.items()
    ]
    return np.array(table)


def intervals(table: np.ndarray) -> np.ndarray:
    """Return `[2, models]`: the 95% bootstrap interval of each mean rank over the sets."""
    draw = np.random.default_rng(0)
    chosen = draw.integers(0, len(table), (RESAMPLES, len(table)))
    return np.quantile(table[chosen].mean(axis=1), [0.025, 0.975], axis=0)


def markdown(cells: list[dict[str, Any]], half: str, models: list[str]) -> str:
    """Return the table: sets in which the last model has the worst rank come first."""
    values = means(cells, half, models)
    table = ranks(values, models)
    metric = {each.name: each.metric for each in SETS}
    lines = [f"| set | metric | {' | '.join(models)} |", "|---|---|" + "---|" * len(models)]
    for at in sorted(range(len(values)), key=lambda at: (-table[at, -1], list(values)[at])):
        name, by_model = list(values.items())[at]
        shown = [f"{by_model[model].mean():.4g}" for model in models]
        best = int(table[at].argmin())
        shown[best] = f"**{shown[best]}**"
        lines.append(f"| {name} | {metric[name]} | {' | '.join(shown)} |")
    low, high = intervals(table)
    rank = [f"{mean:.2f} ({a:.2f} to {b:.2f})" for mean, a, b in zip(table.mean(axis=0), low, high, strict=True)]
    lines.append(f"| mean rank | {len(values)} sets | {' | '.join(rank)} |")
    firsts = [str(int((table[:, at] == table.min(axis=1)).sum())) for at in range(len(models))]
    lines.append(f"| first, or equal to it | of {len(values)} sets | {' | '.join(firsts)} |")
    seconds = [
        f"{np.median([each['seconds'] for each in cells if each['model'] == model and each['half'] == half]):.1f} s"
        for model in models
    ]
    lines.append(f"| median time to train and ask | | {' | '.join(seconds)} |")
    return "\n".join(lines)
