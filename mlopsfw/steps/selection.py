"""Feature selection of a search: columns ranked on the rows that trials see, and sets of the best of them for trials to choose from."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.steps.quiet import QuietContext
from mlopsfw.training.search.space import Dimension

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.kernel.roles.training import Trainer
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.bundle.loaded import LoadedBundle
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.steps.trial import Work
    from mlopsfw.training.crossfit import Subject

_REPEATS = 3  # shuffles of a column
_NULLS = 10  # trainings on shuffled labels
_SHARES = (0.75, 0.5, 0.25, 0.1)  # of the columns, besides all of them and those that pass
_LEVEL = 0.1  # of a column that passes the null importances: 1 of 11 is the least that 10 trainings can show


def choose_sets(work: Work, context: StepContext, *, trainer: Trainer, bundles: BundleStore) -> Dimension:
    """Return sets of columns for trials to choose from: all, those that pass, and the best shares.

    `permutation`: a column passes if the metric of the last fold's rows is worse where it is shuffled (Breiman, 2001). `null`: if the model
    of the last fold uses it more than at most one in eleven models of shuffled labels do (Altmann et al., 2010). What an earlier attempt
    computed is read.
    """
    kept = context.checkpoints / "features.json"
    if kept.exists():
        return Dimension(choices=tuple(msgspec.json.decode(kept.read_bytes())))
    from mlopsfw.training.crossfit import fit_rows

    fit = partial(fit_rows, trainer=trainer, bundles=bundles, context=QuietContext(context))
    ranked = _permuted(work, fit) if work.tune.features == "permutation" else _against_null(work, fit, context)
    sets = _sets(work, ranked)
    kept.write_bytes(msgspec.json.encode(sets))
    for name, (value, passes) in ranked.items():
        context.log(f"feature {name}: {value:.4g}{'' if passes else ', does not pass'}")
    return Dimension(choices=tuple(sets))


def _sets(work: Work, ranked: dict[str, tuple[float, bool]]) -> list[list[str]]:
    """Return the sets, the largest first. Columns that the model makes itself stay in each."""
    derived = [each.name for each in work.subject.task.derived]
    own = work.subject.task.features
    always = [name for name in derived if not own or name in own]
    names = list(ranked)
    sizes = {len(names), *(math.ceil(share * len(names)) for share in _SHARES)}
    sets = [sorted(names[:size]) for size in sizes if size]
    sets.append(sorted(name for name, (_, passes) in ranked.items() if passes))
    distinct = {(*each, *always): None for each in sorted(sets, key=len, reverse=True) if each}
    return [list(each) for each in distinct]


def _permuted(work: Work, fit: partial[LoadedBundle]) -> dict[str, tuple[float, bool]]:
    """Return how much worse the metric is without each column, and whether it is; the largest first."""
    fold = work.folds[-1]
    losses = _uses(work, fit(work.subject, fold.train, "ranking"), work.subject, fold.validation)
    return {name: (value, value > 0) for name, value in sorted(losses.items(), key=lambda each: -each[1])}


def _against_null(work: Work, fit: partial[LoadedBundle], context: StepContext) -> dict[str, tuple[float, bool]]:
    """Return how much the model uses each column of the rows that it learned from, and whether models of noise use it less."""
    import numpy as np

    train, draw = work.folds[-1].train, np.random.Generator(np.random.PCG64(work.subject.task.seed))
    actual = _uses(work, fit(work.subject, train, "ranking"), work.subject, train)
    above = dict.fromkeys(actual, 1)
    for number in range(_NULLS):
        context.progress(f"null importances, {number + 1} of {_NULLS}", number / _NULLS)
        noise = _shuffled(work.subject, draw)
        for name, value in _uses(work, fit(noise, train, f"null{number + 1}"), noise, train).items():
            above[name] = above.get(name, 1) + (value >= actual.get(name, 0.0))
    passes = {name: above[name] / (_NULLS + 1) <= _LEVEL and actual[name] > 0 for name in actual}
    order = sorted(actual, key=lambda name: (above[name], -actual[name]))
    return {name: (actual[name], passes[name]) for name in order}


def _shuffled(subject: Subject, draw: np.random.Generator) -> Subject:
    """Return the rows with the labels of others."""
    from mlopsfw.data.tables.handle import TableHandle

    order, target = draw.permutation(subject.data.rows), subject.task.target
    frame = subject.data.lazy().collect()
    rows = frame.with_columns(frame[target].gather(order))
    return subject._replace(data=TableHandle.of(rows), labels=subject.labels[order])


def _uses(work: Work, model: LoadedBundle, subject: Subject, at: np.ndarray) -> dict[str, float]:
    """Return by how much the metric is worse where each input is shuffled among the rows at an index, at most 5,000 of them."""
    import numpy as np

    from mlopsfw.steps.disturbed import Trial
    from mlopsfw.steps.scored import clusters_of, score
    from mlopsfw.training.folds import rows_at

    rows = rows_at(subject.data, at, Path()).lazy().collect()
    trial = Trial.of(score(model, rows, subject.task.weight), work.metrics, work.metric, clusters_of(rows, ""))
    draw = np.random.Generator(np.random.PCG64(subject.task.seed))
    scored, losses = trial.scored.rows, {}
    for each in model.manifest.inputs:
        others = [
            scored.with_columns(scored[each.name].gather(draw.permutation(scored.height))) for _ in range(_REPEATS)
        ]
        worse = [loss for other in others if (loss := trial.lost(trial.answered(other))) is not None]
        losses[each.name] = float(np.mean(worse)) if worse else 0.0
    return losses
