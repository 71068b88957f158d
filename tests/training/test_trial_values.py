"""What a trial has measured so far: one loss for each quarter of a training, and the mean over the folds that are done."""

from __future__ import annotations

import pytest

from mlopsfw.training.search.trials import Values


def test_a_quarter_has_one_loss_the_first_after_it_has_passed():
    values = Values()
    passed = [values.passed(1, share, share) for share in (0.1, 0.26, 0.3, 0.6, 0.5, 0.99, 1.0)]
    assert passed == [False, True, False, True, False, True, False]
    assert values.passed(2, 0.3, 0.2)
    assert values.losses == [(1, 0.26), (2, 0.6), (3, 0.99), (5, 0.2)]


@pytest.mark.parametrize(("maximize", "loss"), [(True, -0.4), (False, 0.4)])
def test_a_pruner_compares_losses_within_a_fold_and_the_mean_after_it(maximize, loss):
    values = Values(folds=[{"auc": 0.6}, {"auc": 0.8}], losses=[(1, 0.4)])
    assert values.steps("auc", maximize=maximize) == {1: loss, 4: 0.6, 8: pytest.approx(0.7)}


def test_values_survive_in_the_folder_of_the_trials_checkpoints(tmp_path):
    assert Values.of(tmp_path) == Values()
    values = Values(folds=[{"auc": 0.6}], losses=[(1, 0.4)])
    values.keep(tmp_path)
    assert Values.of(tmp_path) == values
