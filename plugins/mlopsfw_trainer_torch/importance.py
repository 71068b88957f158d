"""Permutation importance: how much the loss grows if one column's values are shuffled among the rows (Breiman, 2001, section 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlopsfw_trainer_torch.rows import Rows

if TYPE_CHECKING:
    from mlopsfw.features import FeaturePlan
    from mlopsfw_trainer_torch.loop import Training

_ROWS = 512, 4096  # at least, at most
_EVALUATED = 200_000  # rows for all columns together
_TIMES = 3


def importance(training: Training, plan: FeaturePlan, rows: Rows, seed: int) -> dict[str, float]:
    """Return, for each input and derived column, its share of the loss added by shuffling single columns, largest first.

    Args:
        training: The training with the trained network.
        plan: Maps columns to features.
        rows: The rows to shuffle, at most 4,096 of them, fewer for many columns.
        seed: Seeds the choice and the shuffling.
    """
    draw = torch.Generator().manual_seed(seed)
    sources = {*plan.numeric_sources, *plan.categorical_sources}
    columns = [column.name for column in plan.inputs] + [column.name for column in plan.derived]
    names = [name for name in columns if name in sources]
    fewest, most = _ROWS
    count = min(most, max(fewest, _EVALUATED // (_TIMES * max(1, len(names)))))
    some = rows.at(torch.randperm(len(rows), generator=draw)[:count].to(rows.target.device))
    base = training.evaluate(some)
    costs = {}
    for name in names:
        losses = [training.evaluate(_shuffled(some, plan, name, draw)) for _ in range(_TIMES)]
        costs[name] = max(0.0, sum(losses) / _TIMES - base)
    total = sum(costs.values())
    shares = {name: round(cost / total, 6) if total > 0 else 0.0 for name, cost in costs.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _shuffled(rows: Rows, plan: FeaturePlan, column: str, draw: torch.Generator) -> Rows:
    order = torch.randperm(len(rows), generator=draw).to(rows.target.device)
    numeric, codes = (each.clone() for each in rows.inputs)
    floats = [at for at, source in enumerate(plan.numeric_sources) if source == column]
    coded = [at for at, source in enumerate(plan.categorical_sources) if source == column]
    numeric[:, floats] = rows.inputs[0][order][:, floats]
    codes[:, coded] = rows.inputs[1][order][:, coded]
    return Rows((numeric, codes), rows.target, rows.weight)
