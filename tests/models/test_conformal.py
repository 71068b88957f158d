"""Intervals and sets hold the truth as often as they promise, over many splits and in each; MAPIE gives the same ones."""

from __future__ import annotations

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.regression import ConformalizedQuantileRegressor, SplitConformalRegressor
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from mlopsfw.errors import BundleError, UsageError
from mlopsfw.models.conformal import Answer, Conformal, class_sets, covered, learn, value_intervals

SPLITS = pytest.mark.parametrize(
    "splits", [40, pytest.param(400, marks=[pytest.mark.nightly, pytest.mark.timeout(600)])], ids=["push", "nightly"]
)
CALIBRATION, TEST, ALPHA = 400, 2000, 0.1


def numbers(rows, draw):
    """Numbers whose spread grows with their prediction, and the prediction."""
    main = draw.uniform(1, 10, rows)
    return main + draw.normal(size=rows) * main / 3, Answer(main, np.where(main > 5, "high", "low"))


def classes(rows, draw):
    """Labels of three classes, and probabilities that are too sure."""
    logits = draw.normal(0, 1.5, (rows, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (draw.random((rows, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    sure = shares**2 / (shares**2).sum(axis=1, keepdims=True)
    return labels, Answer(sure, np.where(logits[:, 0] > 0, "high", "low"))


def quantiles(rows, draw):
    labels, answer = numbers(rows, draw)
    return labels, answer._replace(lower=answer.main - 0.3, upper=answer.main + 0.3)


@SPLITS
@pytest.mark.parametrize(
    ("kind", "by", "rows"),
    [
        ("absolute", "", numbers),
        ("absolute", "column", numbers),
        ("normalised", "", numbers),
        ("cqr", "", quantiles),
        ("cqr", "column", quantiles),
        ("lac", "", classes),
        ("lac", "class", classes),
        ("aps", "", classes),
        ("aps", "column", classes),
    ],
)
def test_the_truth_is_covered_as_often_as_promised(kind, by, rows, splits):
    """Over splits the mean coverage is nominal within half a percent; each split lies in its Beta interval (Vovk 2012; Angelopoulos & Bates 2023)."""
    draw, shares, outside = np.random.default_rng(11), [], 0
    for seed in range(splits):
        labels, answer = rows(CALIBRATION, draw)
        conformal = learn(kind, labels, answer, by=by, seed=seed)
        labels, answer = rows(TEST, draw)
        hits, _ = covered(conformal, labels, answer, ALPHA)
        shares.append(hits.mean())
        outside += not _beta_interval(conformal)[0] <= hits.mean() <= _beta_interval(conformal)[1]
    expected = np.mean([_expected(scores) for scores in _groups(conformal)])
    noise = 3 * np.std(shares) / splits**0.5
    assert np.mean(shares) == pytest.approx(expected, abs=max(0.005, noise) if splits < 200 else 0.005)
    assert 1 - ALPHA <= expected <= 1 - ALPHA + 0.01
    assert outside <= (0 if by == "" else 1) + 0.01 * splits


def _groups(conformal):
    return [scores for name, scores in conformal.scores.items() if name or not conformal.by]


def _expected(scores):
    return np.ceil((len(scores) + 1) * (1 - ALPHA)) / (len(scores) + 1)


def _beta_interval(conformal):
    """Where all but one in 10^4 splits lie: the coverage is Beta distributed, and the share among the test rows binomial around it."""
    fewest = min(len(scores) for scores in _groups(conformal))
    place = np.ceil((fewest + 1) * (1 - ALPHA))
    law = stats.betabinom(TEST, place, fewest + 1 - place)
    return law.ppf(5e-5) / TEST, law.ppf(1 - 5e-5) / TEST


class Fitted(RegressorMixin, BaseEstimator):
    """Answers with its input."""

    def fit(self, x, _y):
        self.fitted_ = True
        return self

    def predict(self, x):
        return x[:, 0]


class FittedClasses(ClassifierMixin, BaseEstimator):
    classes_ = np.arange(3)

    def fit(self, x, _y):
        self.fitted_ = True
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(axis=1)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.32])
def test_intervals_are_mapies(alpha):
    draw = np.random.default_rng(1)
    (labels, answer), (_, test) = numbers(301, draw), numbers(50, draw)
    oracle = SplitConformalRegressor(Fitted().fit(None, None), confidence_level=1 - alpha, prefit=True)
    _, expected = oracle.conformalize(answer.main[:, None], labels).predict_interval(test.main[:, None])
    low, high = value_intervals(learn("absolute", labels, answer), test, alpha)
    assert np.allclose(np.stack([low, high], axis=1), expected[:, :, 0])


class Column(Fitted):
    """Answers with one column of its input."""

    def __init__(self, at=0):
        self.at = at

    def predict(self, x):
        return x[:, self.at]


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.32])
def test_intervals_around_quantiles_are_mapies(alpha):
    draw = np.random.default_rng(1)
    (labels, answer), (_, test) = quantiles(301, draw), quantiles(50, draw)
    calibration, asked = (np.stack([each.lower, each.upper, each.main], axis=1) for each in (answer, test))
    oracle = ConformalizedQuantileRegressor(
        [Column(at).fit(None, None) for at in range(3)], confidence_level=1 - alpha, prefit=True
    )
    _, expected = oracle.conformalize(calibration, labels).predict_interval(asked, symmetric_correction=True)
    low, high = value_intervals(learn("cqr", labels, answer), test, alpha)
    assert np.allclose(np.stack([low, high], axis=1), expected[:, :, 0])


@pytest.fixture(scope="module")
def learned():
    """Rows whose noise does not follow their value, and what trees that learned value and quantiles on other rows answer."""
    from lightgbm import LGBMRegressor

    draw = np.random.default_rng(5)

    def rows(count):
        x = draw.uniform(0, 1, (count, 2))
        return x, np.sin(6 * x[:, 0]) + draw.normal(size=count) * (0.1 + x[:, 1] ** 2)

    options = {"n_estimators": 80, "num_leaves": 15, "verbosity": -1, "n_jobs": 1, "random_state": 0}
    (x, y), (test, labels) = rows(2000), rows(60_000)
    models = [LGBMRegressor(objective="quantile", alpha=level, **options) for level in (0.05, 0.95)]
    main, lower, upper = (model.fit(x, y).predict(test) for model in (LGBMRegressor(**options), *models))
    return test, labels, Answer(main, np.full(len(main), ""), np.minimum(lower, upper), np.maximum(lower, upper))


def test_learned_quantiles_cover_as_promised_in_200_splits_with_narrower_intervals_that_follow_the_noise(learned):
    x, labels, answer = learned
    draw, shares, widths = np.random.default_rng(2), [], {"cqr": [], "absolute": []}
    for _ in range(200):
        at = draw.choice(len(labels), CALIBRATION + TEST, replace=False)
        seen, rest = at[:CALIBRATION], at[CALIBRATION:]
        for kind, sizes in widths.items():
            conformal = learn(kind, labels[seen], Answer(*(each[seen] for each in answer)))
            hits, size = covered(conformal, labels[rest], Answer(*(each[rest] for each in answer)), ALPHA)
            sizes.append((size.mean(), size[x[rest, 1] < 0.2].mean(), size[x[rest, 1] > 0.8].mean()))
            if kind == "cqr":
                shares.append(hits.mean())
                low, high = _beta_interval(conformal)
                assert low <= hits.mean() <= high
    assert np.mean(shares) == pytest.approx(_expected(conformal.scores[""]), abs=0.005)
    mean, quiet, loud = np.mean(widths["cqr"], axis=0)
    assert loud > 3 * quiet
    assert mean < 0.9 * np.mean(widths["absolute"], axis=0)[0]


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.32])
def test_sets_are_mapies(alpha):
    draw = np.random.default_rng(1)
    (labels, answer), (_, test) = classes(301, draw), classes(50, draw)
    oracle = SplitConformalClassifier(
        FittedClasses().fit(None, None), confidence_level=1 - alpha, prefit=True, conformity_score="lac"
    )
    _, expected = oracle.conformalize(answer.main, labels).predict_set(test.main)
    assert np.array_equal(class_sets(learn("lac", labels, answer), test, alpha), expected[:, :, 0])


def test_normalised_intervals_are_wide_where_errors_are_large():
    draw = np.random.default_rng(0)
    conformal = learn("normalised", *numbers(2000, draw))
    _, test = numbers(200, draw)
    low, high = value_intervals(conformal, test, ALPHA)
    width = high - low
    assert width[test.main > 8].mean() > 3 * width[test.main < 2.5].mean()


def test_each_group_gets_its_promise():
    draw = np.random.default_rng(0)
    conformal = learn("absolute", *numbers(4000, draw), by="column")
    labels, test = numbers(4000, draw)
    hits, _ = covered(conformal, labels, test, ALPHA)
    plain, _ = covered(learn("absolute", *numbers(4000, draw)), labels, test, ALPHA)
    for group in ("low", "high"):
        assert hits[test.groups == group].mean() == pytest.approx(0.9, abs=0.02)
    assert plain[test.groups == "low"].mean() > 0.95


def test_a_group_that_no_one_has_seen_gets_the_promise_of_all():
    conformal = learn("absolute", *numbers(400, np.random.default_rng(0)), by="column")
    assert conformal.limits(np.array(["new"]), 0.1) == conformal.limits(np.array([""]), 0.1)


@pytest.mark.parametrize("count", [99, 122, 1234])
def test_an_alpha_that_needs_more_rows_is_refused_with_the_smallest_one_that_can_be_kept(count):
    """Also for classes: only the set of all classes would keep it."""
    answer = Answer(np.ones(1), np.array([""]))
    values = learn("absolute", *numbers(count, np.random.default_rng(0)))
    sets = learn("lac", *classes(count, np.random.default_rng(0)))
    for alpha in (0.5 / count, 1e-300, 5e-324):
        with pytest.raises(UsageError, match=f"is less than {count:,} calibration rows can promise") as raised:
            value_intervals(values, answer, alpha)
        with pytest.raises(UsageError, match=f"is less than {count:,} calibration rows"):
            class_sets(sets, Answer(np.full((1, 3), 1 / 3), np.array([""])), alpha)
    least = float(raised.value.hint.split()[2])
    assert least == pytest.approx(1 / (count + 1), rel=0.1)
    assert np.isfinite(value_intervals(values, answer, least)).all()


def test_a_group_that_has_too_few_rows_for_an_alpha_is_named():
    conformal = learn("absolute", *numbers(400, np.random.default_rng(0)), by="column")
    high = len(conformal.scores["high"])
    with pytest.raises(UsageError, match=f"{high} calibration rows of the group 'high'"):
        conformal.limits(np.array(["high", ""]), 1 / (high + 2))
    assert np.isfinite(conformal.limits(np.array([""]), 1 / (high + 2))).all()


def test_weights_that_are_alike_change_nothing():
    labels, answer = numbers(6000, np.random.default_rng(0))
    for by in ("", "column"):
        alone = learn("absolute", labels, answer, by=by)
        alike = learn("absolute", labels, answer, by=by, weight=np.full(6000, 3.0))
        for alpha in (0.001, 0.1, 0.5):
            assert np.array_equal(alike.limits(answer.groups, alpha), alone.limits(answer.groups, alpha))


@pytest.mark.parametrize("kind", ["absolute", "normalised"])
def test_weights_give_the_promise_to_the_rows_that_they_stand_for(kind):
    """Rows with a large prediction, whose errors are large, are a tenth of the calibration rows and half of the rows to come."""
    draw, shares = np.random.default_rng(3), {"weighted": [], "alike": []}
    for seed in range(30):
        labels, answer = numbers(1500, draw)
        left = (answer.main > 5.5) & (draw.random(1500) > 0.11)
        labels, answer = labels[~left], Answer(answer.main[~left], answer.groups[~left])
        weight = np.where(answer.main > 5.5, 9.0, 1.0)
        truth, test = numbers(4000, draw)
        for each, given in (("weighted", weight), ("alike", None)):
            conformal = learn(kind, labels, answer, weight=given, seed=seed)
            shares[each].append(covered(conformal, truth, test, ALPHA)[0].mean())
    assert np.mean(shares["weighted"]) == pytest.approx(0.9, abs=0.015)
    assert kind == "normalised" or np.mean(shares["alike"]) < 0.85


@pytest.mark.parametrize("alpha", [0, 1, -0.1, "0.1", True, float("nan")])
def test_an_alpha_that_is_no_share_is_refused(alpha):
    conformal = learn("absolute", *numbers(99, np.random.default_rng(0)))
    with pytest.raises(UsageError, match="alpha lies between 0 and 1"):
        conformal.limits(np.array([""]), alpha)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "lac", "scores": {}},
        {"kind": "lac", "scores": {"": ()}},
        {"kind": "lac", "scores": {"": (2.0, 1.0)}},
        {"kind": "lac", "scores": {"": (float("nan"),)}},
        {"kind": "normalised", "scores": {"": (1.0,)}, "edges": (1.0,), "scales": (1.0,)},
        {"kind": "normalised", "scores": {"": (1.0,)}, "scales": (0.0,)},
        {"kind": "lac", "scores": {"": (1.0,)}, "weights": {"": (0.0,)}},
        {"kind": "lac", "scores": {"": (1.0,)}, "weights": {"": (1.0, 1.0)}},
        {"kind": "lac", "scores": {"": (1.0,)}, "weights": {"a": (1.0,)}},
    ],
)
def test_scores_from_a_file_are_checked(wrong):
    with pytest.raises(BundleError):
        Conformal(**wrong)
