"""The kit of runtimes: contributions that add up pass it, and those that do not, change, or are not numbers fail it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mlopsfw.errors import AnswerMismatch
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.roles import Manifest, SignatureColumn
from mlopsfw.testing.runtime import RuntimeConformance

CLASSES = {"binary": (0, 1), "multiclass": (0, 1, 2), "regression": ()}
COLUMNS = {name: np.random.default_rng(at).normal(size=8) for at, name in enumerate("xy")}


class Linear:
    """Answers with the link of a weighted sum."""

    def __init__(self, task):
        self.task = task

    def explain(self, columns):
        weights = np.array([1.0, -1.0, 0.5]) if self.task == "multiclass" else 1.0
        parts = {"": np.ones(len(columns["x"])), "x": 2 * columns["x"], "y": -columns["y"]}
        return {name: np.multiply.outer(values, weights) for name, values in parts.items()}

    def predict(self, columns):
        total = sum(Linear.explain(self, columns).values())
        odds = np.exp(total)
        answer = {"binary": odds / (1 + odds), "regression": total}.get(self.task)
        return {NAMES[self.task]: odds / odds.sum(axis=-1, keepdims=True) if answer is None else answer}


NAMES = {"binary": "probability", "multiclass": "probabilities", "regression": "value"}


class Counts(Linear):
    """Its link is the logarithm."""

    def predict(self, columns):
        return {"value": np.exp(super().predict(columns)["value"])}


class ForgetsWhatAllHaveInCommon(Linear):
    def explain(self, columns):
        return {**super().explain(columns), "": super().explain(columns)[""] * 0}


class ExplainsProbabilities(Linear):
    def explain(self, columns):
        answer = self.predict(columns)[NAMES[self.task]]
        return {"": answer * 0, "x": answer}


class NamesNoInput(Linear):
    def explain(self, columns):
        return {**super().explain(columns), "z": columns["x"]}


class HasNotANumber(Linear):
    def explain(self, columns):
        return {**super().explain(columns), "x": columns["x"] * np.nan}


class Draws(Linear):
    """Adds up, but divides anew each time."""

    def explain(self, columns):
        shares, moved = super().explain(columns), np.random.default_rng().normal()
        return {**shares, "x": shares["x"] + moved, "y": shares["y"] - moved}


class LooksAtTheBatch(Linear):
    def explain(self, columns):
        shares = super().explain(columns)
        mean = shares["x"].mean(axis=0)
        return {**shares, "x": shares["x"] - mean, "": shares[""] + mean}


class ChangesColumns(Linear):
    def explain(self, columns):
        shares = super().explain(columns)
        columns["x"] *= 1.0 + 1e-9
        return shares


SUM = "contributions_are_finite_and_add_up_to_the_answer"
SAME = "a_row_has_the_same_contributions_each_time_alone_and_in_a_batch"
MUTANTS = [
    (ForgetsWhatAllHaveInCommon, SUM), (ExplainsProbabilities, SUM), (NamesNoInput, SUM), (HasNotANumber, SUM),
    (Draws, SAME), (LooksAtTheBatch, SAME), (ChangesColumns, SAME),
]  # fmt: skip


def run(model, task, test):
    manifest = Manifest(
        task=task, target="t", inputs=tuple(SignatureColumn(name=name, type="number") for name in COLUMNS),
        outputs=outputs_for(task, CLASSES[task]), classes=CLASSES[task], formats={}, files={},
    )  # fmt: skip
    runtime = SimpleNamespace(load=lambda *_: model(task))
    columns = {name: values.copy() for name, values in COLUMNS.items()}
    getattr(RuntimeConformance(), f"test_{test}")(runtime, None, manifest, columns)


@pytest.mark.parametrize("test", [SUM, SAME])
@pytest.mark.parametrize("task", CLASSES)
def test_a_right_explanation_passes(task, test):
    run(Linear, task, test)
    if task == "regression":
        run(Counts, task, test)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize(("mutant", "test"), MUTANTS)
def test_the_kit_catches(mutant, test, task):
    with pytest.raises((AssertionError, AnswerMismatch)):
        run(mutant, task, test)


def test_a_model_without_explanations_is_not_asked(monkeypatch):
    with pytest.raises(pytest.skip.Exception):
        run(lambda task: SimpleNamespace(predict=Linear(task).predict), "binary", SUM)
