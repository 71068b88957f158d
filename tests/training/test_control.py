"""The control: a target without signal, whose labels overlap in time. Shuffled folds report skill, purged folds report none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest
from sklearn.neighbors import KNeighborsClassifier

from mlopsfw.models.metrics import OWN
from mlopsfw.roles import TrainingTask
from mlopsfw.training.crossfit import Judged
from mlopsfw.training.folds import Folds, make_folds
from mlopsfw.training.validation import Measure, clusters_of

ROWS, HORIZON = 1500, 20
TASK = TrainingTask(task="binary", target="y", time="at")
START = datetime(2026, 1, 1, tzinfo=UTC)


def random_walk(seed):
    """Whether a random walk is higher 20 hours later, beside three walks that have nothing to do with it."""
    draw = np.random.default_rng(seed)
    price = np.cumsum(draw.normal(size=ROWS + HORIZON))
    walks = {name: np.cumsum(draw.normal(size=ROWS)) for name in "abc"}
    at = [START + timedelta(hours=n) for n in range(ROWS)]
    return pl.DataFrame({"at": at, "y": (price[HORIZON:] > price[:-HORIZON]).astype(int), **walks})


def reported_auc(rows, folds):
    """The AUC that a validation reports, with its interval."""
    made, features, labels = make_folds(rows, folds, TASK), rows.select("a", "b", "c").to_numpy(), rows["y"].to_numpy()
    parts = []
    for fold in made:
        model = KNeighborsClassifier(15).fit(features[fold.train], labels[fold.train])
        parts.append(model.predict_proba(features[fold.validation])[:, 1])
    at = np.concatenate([fold.validation for fold in made])
    number = np.repeat(np.arange(len(made)), [len(fold.validation) for fold in made])
    outputs = MappingProxyType({"probability": np.concatenate(parts)})
    judged = Judged(at, number, labels[at], outputs, None)
    measure = Measure(OWN, TASK, clusters_of(rows, folds, TASK, at))
    mean = lambda times: judged.mean(OWN, "binary", times, ["auc"])  # noqa: E731
    return mean(None)["auc"], measure.clusters.intervals(mean, 0)["auc"]


@pytest.mark.parametrize(
    "simulations",
    [12, pytest.param(100, marks=[pytest.mark.nightly, pytest.mark.timeout(900)])],
    ids=["push", "nightly"],
)
def test_without_signal_shuffled_folds_report_skill_and_purged_folds_none(simulations):
    skill = honest = 0
    for seed in range(simulations):
        rows = random_walk(seed)
        shuffled, (low, _) = reported_auc(rows, Folds(by="random", shuffle_time=True, label_delay="20h"))
        skill += shuffled > 0.75 and low > 0.6
        _, (low, high) = reported_auc(rows, Folds(by="purged", embargo="20h", label_delay="20h"))
        honest += low <= 0.5 <= high
    assert skill == simulations
    assert honest >= 0.9 * simulations


def test_an_interval_that_ignores_the_overlap_of_labels_finds_skill_where_there_is_none():
    """Why rows with an event time count as blocks of time: as single rows they seem to be many more than they are."""
    rows = random_walk(3)
    folds = Folds(by="purged", label_delay="20h")
    _, (low, high) = reported_auc(rows, folds)
    single = rows.with_columns(row=pl.int_range(pl.len()))
    _, (narrow, wide) = reported_auc(single, Folds(by="purged", label_delay="20h", group="row"))
    assert wide - narrow < 0.6 * (high - low)
