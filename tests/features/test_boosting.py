"""What a training of trees does whichever library grows them: rows that stop it, and the report of its rounds."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features.boosting import Problem, facts_of, prepare
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.testing.training import Context

TASK = TrainingTask(task="regression", target="y")
ROWS = TableHandle.of(pl.DataFrame({"x": np.arange(20.0), "y": np.arange(20.0)}))


@pytest.mark.parametrize(("valid", "holdout", "sizes"), [(None, 0.25, (15, 5)), (None, 0.0, ()), (ROWS, 0.25, ())])
def test_rows_are_held_out_where_a_share_is_asked_for_and_no_rows_are_connected(tmp_path, valid, holdout, sizes):
    context = Context.under(tmp_path, "held")
    _, sets, stopping = prepare(TASK, ROWS, valid, context, memory="", holdout=holdout)
    assert list(sets) == (["train"] if valid is None else ["train", "valid"])
    assert len(sets["train"].labels) == 20
    assert tuple(len(stopping[name].labels) for name in stopping) == sizes


def test_a_round_reports_its_finite_losses_under_the_name_of_the_quantile(tmp_path):
    context = Context.under(tmp_path, "told")
    Problem(TASK, None).report(context, 1, 4, {"train": 0.5, "valid": math.nan})
    Problem(TASK, None, 0.05).report(context, 2, 4, {"valid": 0.25})
    assert context.metrics == [("train_loss", 0.5, 1), ("quantile_0.05_valid_loss", 0.25, 2)]
    assert context.shares == [0.25, 0.5]


def test_shares_of_the_gain_are_largest_first_and_the_held_out_rows_are_counted(tmp_path):
    rows = TableHandle.of(pl.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0), "y": np.arange(20.0)}))
    columns, sets, stopping = prepare(TASK, rows, None, Context.under(tmp_path, "facts"), memory="", holdout=0.25)
    facts = facts_of(columns, sets, stopping, [1.0, 3.0], lambda numbers: np.ones((len(numbers), 1, 3)))
    assert list(facts["importance"].items()) == [("b", 0.75), ("a", 0.25)]
    assert (facts["rows"], facts["validation_rows"], facts["streamed"]) == (20, 5, False)
    assert facts["attributions"]() == {"a": 0.5, "b": 0.5}
