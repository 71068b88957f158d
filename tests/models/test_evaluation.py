"""Metrics and baselines agree with scikit-learn; what is not defined is left out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer
from sklearn.linear_model import LogisticRegression, Ridge

from mlopsfw.capturelog.classes import class_codes
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.bundle import Manifest, SignatureColumn
from mlopsfw.models import evaluation
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.models.metrics import evaluate, evaluate_set
from mlopsfw.training.baselines import Design, least_squares, logistic, majority, multinomial, regression


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]) | st.floats(0, 1)),
        min_size=2,
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)
def test_binary_metrics_are_scikit_learns(rows):
    labels, scores = np.array([int(a) for a, _ in rows]), np.array([b for _, b in rows])
    found = evaluate("binary", labels, scores)
    guess = scores >= 0.5
    assert found["accuracy"] == pytest.approx(peer.accuracy_score(labels, guess))
    assert found["brier"] == pytest.approx(peer.brier_score_loss(labels, scores, pos_label=1))
    assert 0 <= found["ece"] <= 1
    assert ("auc" in found) == (0 < labels.sum() < len(labels))
    if "auc" in found:
        assert found["auc"] == pytest.approx(peer.roc_auc_score(labels, scores), abs=1e-12)
        assert found["f1"] == pytest.approx(peer.f1_score(labels, guess))
        inside = np.clip(scores, 1e-6, 1 - 1e-6)
        assert evaluate("binary", labels, inside)["log_loss"] == pytest.approx(peer.log_loss(labels, inside))


def test_multiclass_metrics_are_scikit_learns():
    draw = np.random.default_rng(0)
    labels, scores = draw.integers(0, 4, 500), draw.dirichlet(np.ones(4), 500)
    found = evaluate("multiclass", labels, scores)
    assert found["log_loss"] == pytest.approx(peer.log_loss(labels, scores))
    assert found["accuracy"] == pytest.approx(peer.accuracy_score(labels, scores.argmax(1)))
    assert found["f1"] == pytest.approx(peer.f1_score(labels, scores.argmax(1), average="macro"))
    assert found["auc"] == pytest.approx(peer.roc_auc_score(labels, scores, multi_class="ovr"))


def test_regression_metrics_are_scikit_learns_and_r2_of_a_constant_is_left_out():
    draw = np.random.default_rng(0)
    labels = draw.normal(size=100)
    values = labels + draw.normal(size=100)
    found = evaluate("regression", labels, values)
    assert found["rmse"] == pytest.approx(peer.root_mean_squared_error(labels, values))
    assert found["mae"] == pytest.approx(peer.mean_absolute_error(labels, values))
    assert found["r2"] == pytest.approx(peer.r2_score(labels, values))
    assert "r2" not in evaluate("regression", np.ones(3), np.zeros(3))


def test_labels_become_codes_in_the_order_of_the_classes():
    assert class_codes(pl.Series([True, False]), (False, True)).tolist() == [1, 0]
    assert class_codes(pl.Series(["b", "a"]), ("b", "a")).tolist() == [0, 1]
    assert class_codes(pl.Series([3, 1]), (1, 3)).tolist() == [1, 0]


@pytest.mark.parametrize("wrong", ["c", None])
def test_a_label_that_is_no_class_is_named_by_its_row(wrong):
    with pytest.raises(DataError, match="row 1"):
        class_codes(pl.Series("y", ["a", wrong]), ("a", "b"))


def test_segments_come_largest_first_with_their_rows_and_small_ones_are_left_out():
    found = evaluation.by_segment(
        pl.Series(["a", "b", None, "a", "b", "a", "c"]), lambda at: {"sum": float(at.sum())}, fewest=1
    )
    assert list(found) == ["a", "b", "c", "null"]
    assert found["a"] == {"rows": 3.0, "sum": 8.0}
    assert list(evaluation.by_segment(pl.Series(["a", "b", "a"]), lambda _: {}, fewest=2)) == ["a"]


@pytest.fixture
def design():
    draw = np.random.default_rng(1)
    codes = np.stack([draw.integers(0, 5, 800), draw.integers(0, 3, 800)], axis=1)
    return Design(np.concatenate([np.ones((800, 1)), draw.normal(size=(800, 2))], axis=1), codes, (5, 3))


def whole(design):
    return np.concatenate([design.dense[:, 1:], np.eye(5)[design.codes[:, 0]], np.eye(3)[design.codes[:, 1]]], axis=1)


def test_products_with_a_design_are_those_with_its_matrix(design):
    x = np.concatenate([np.ones((800, 1)), whole(design)], axis=1)
    draw = np.random.default_rng(2)
    weights, beta, residual = draw.random(800), draw.normal(size=(11, 2)), draw.normal(size=(800, 2))
    assert np.allclose(design.gram(weights), x.T @ (x * weights[:, None]))
    assert np.allclose(design.times(beta), x @ beta)
    assert np.allclose(design.moment(residual), x.T @ residual)


@pytest.mark.parametrize("weighted", [False, True])
def test_regressions_are_scikit_learns(design, weighted):
    draw = np.random.default_rng(3)
    x = whole(design)
    labels = (x[:, 0] + 2 * x[:, 3] + draw.normal(size=800) > 0.5).astype(int)
    weights = draw.choice([0.0, 1.0, 3.0], 800) if weighted else np.ones(800)
    ours = logistic(design, labels, weights)[:, 0]
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, labels, weights)
    assert np.allclose(ours[1:], theirs.coef_[0], atol=1e-5)
    line = least_squares(design, x[:, 0] + labels, weights)[:, 0]
    assert np.allclose(line[1:], Ridge(alpha=1.0).fit(x, x[:, 0] + labels, weights).coef_, atol=1e-8)
    three = np.digitize(x[:, 0] + draw.normal(size=800), [-0.5, 0.5])
    scores = design.times(multinomial(design, three, 3, weights))
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, three, weights)
    assert np.allclose(shares, theirs.predict_proba(x), atol=1e-3)


def test_a_baseline_whose_classes_separate_still_ends(design):
    labels = (design.dense[:, 1] > 0).astype(int)
    assert np.isfinite(logistic(design, labels, np.ones(len(labels)))).all()


def test_a_row_counts_by_its_weight_in_every_metric_of_a_trainer():
    draw = np.random.default_rng(5)
    labels, scores, weights = draw.integers(0, 2, 60), draw.random(60).round(2), draw.integers(0, 4, 60)
    repeated = evaluate_set("valid", "binary", np.repeat(labels, weights), np.repeat(scores, weights))
    assert evaluate_set("valid", "binary", labels, scores, weights) == pytest.approx(repeated)
    assert evaluate_set("valid", "binary", labels, scores, np.zeros(60)) == evaluate_set(
        "valid", "binary", labels, scores
    )


def test_a_model_of_tensors_alone_has_no_linear_baseline():
    frame = pl.DataFrame({"image": [[1, 2], [3, 4]], "y": [0.0, 1.0]})
    inputs = (SignatureColumn(name="image", type="tensor", dtype="int64", shape=(2,)),)
    manifest = Manifest(
        task="regression", target="y", inputs=inputs, outputs=outputs_for("regression", ()), formats={}, files={}
    )
    assert regression(manifest, frame, frame["y"].to_numpy(), frame) is None


def test_baselines_answer_for_rows_they_have_not_seen():
    draw = np.random.default_rng(4)
    frame = pl.DataFrame(
        {"x": draw.normal(size=600), "s": draw.choice(["a", "b"], 600), "t": [f"N{i % 290}" for i in range(600)]}
    )
    frame = frame.with_columns(y=pl.col("x") * 3 + (pl.col("s") == "a") * 2)
    inputs = tuple(SignatureColumn(name=n, type="number" if n == "x" else "string") for n in ("x", "s", "t"))
    manifest = Manifest(
        task="regression", target="y", inputs=inputs, outputs=outputs_for("regression", ()), formats={}, files={}
    )
    found = regression(manifest, frame[:500], frame["y"][:500].to_numpy(), frame[500:])
    assert evaluate("regression", frame["y"][500:].to_numpy(), found)["r2"] > 0.9
    ridge = Ridge(alpha=1.0).fit(frame["x"].to_numpy()[:500, None], frame["y"][:500].to_numpy())
    assert np.corrcoef(found, ridge.predict(frame["x"].to_numpy()[500:, None]))[0, 1] > 0.8


def test_the_majority_answers_with_the_shares_of_training():
    assert majority(np.array([0, 1, 1, 1]), 2, 2).tolist() == [0.75, 0.75]
    assert majority(np.array([0, 1, 2, 2]), 3, 2).tolist() == [[0.25, 0.25, 0.5]] * 2
    assert majority(np.array([1.0, 3.0]), 0, 3).tolist() == [2.0] * 3
