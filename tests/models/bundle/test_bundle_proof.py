"""The proof that serving does what training did: what would be served otherwise is refused before it is a bundle, or when it is opened."""

from __future__ import annotations

import msgspec
import polars as pl
import pytest

from mlopsfw.features import FeaturePlan, Scale
from mlopsfw.features.recipe import LookupTable, derived_columns
from mlopsfw.kernel.base.errors import BundleError, ServingSkew
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.models.bundle.golden import check_alike, golden_rows
from mlopsfw.models.bundle.proof import as_table, check_derived, check_served
from mlopsfw.testing.trainer import training_rows

ROWS = training_rows(300)
PLANES = LookupTable("planes", pl.DataFrame({"code": [f"N{at}" for at in range(200)], "seats": range(200)}), "code")
TEXTS = {
    "log": "(number.abs() + 1).log()",
    "hour": "moment.dt.convert_time_zone('Europe/Berlin').dt.hour()",
    "seats": "planes[code].seats",
}
DERIVED = derived_columns(TEXTS, ROWS.schema, {"planes": PLANES.find})
TASK = TrainingTask(task="binary", target="binary", exclude=("multiclass", "regression"), derived=DERIVED)
PLAN = FeaturePlan.fit(ROWS, TASK)


def row_of(made, row):
    return {name: values[row : row + 1] for name, values in made.items()}


def test_golden_rows_are_the_same_features_for_training_and_serving():
    columns = golden_rows(PLAN.inputs, PLAN, 0, {"number": (0.0, 100.0)})
    trained = PLAN.polars(as_table(PLAN.inputs, columns))
    for row in range(16):
        check_alike(PLAN, row_of(trained, row), PLAN.numpy(row_of(columns, row)), f"row {row}", real=True)


def test_golden_rows_reach_what_the_model_looks_up():
    assert any(code is not None and code.startswith("N") for code in golden_rows(PLAN.inputs, PLAN)["code"])


@pytest.mark.parametrize(
    "operation", [Scale(column="log", mean=0.0, factor=1.0), Scale(column="seats", mean=7.0, factor=0.1)]
)
def test_a_plan_that_is_not_what_was_trained_with_is_told_by_the_column(operation):
    others = tuple(
        operation if isinstance(op, Scale) and op.column == operation.column else op for op in PLAN.operations
    )
    altered = msgspec.structs.replace(PLAN, operations=others)
    trained = PLAN.polars(ROWS.head(1))
    with pytest.raises(ServingSkew, match=f"from '{operation.column}' serving computes"):
        check_alike(altered, trained, altered.polars(ROWS.head(1)), "row 0")
    with pytest.raises(
        ServingSkew, match=f"from '{operation.column}' serving computes a different value from training\n"
    ):
        check_alike(altered, trained, altered.polars(ROWS.head(1)), "row 0", real=True)


def test_training_rows_go_through_serving_one_by_one_and_those_that_no_request_could_hold_are_passed_over():
    strict = tuple(msgspec.structs.replace(column, nullable=False) for column in PLAN.inputs)
    check_served(PLAN, ROWS, seed=0)
    check_served(msgspec.structs.replace(PLAN, inputs=strict), ROWS, seed=0)
    check_served(PLAN, ROWS.clear(), seed=0)


def test_a_trainer_that_derives_otherwise_than_the_pipeline_says_makes_no_bundle():
    other = derived_columns(TEXTS | {"log": "(number.abs() + 2).log()"}, ROWS.schema, {"planes": PLANES.find})
    with pytest.raises(BundleError, match="'log'"):
        check_derived(FeaturePlan.fit(ROWS, msgspec.structs.replace(TASK, derived=other)), TASK)
    wanted = msgspec.structs.replace(TASK, features=("log",))
    with pytest.raises(BundleError, match="'log'"):
        check_derived(FeaturePlan(inputs=PLAN.inputs, operations=()), wanted)
