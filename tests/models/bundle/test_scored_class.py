"""Scoring a file tells the class that a classifier predicts, beside its probabilities."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.models.bundle.scoring import added_names, by_class, check_names, with_class


def manifest(task, classes, output, inputs=("x",)):
    columns = tuple(SimpleNamespace(name=name) for name in inputs)
    return SimpleNamespace(task=task, classes=classes, inputs=columns, outputs=(SimpleNamespace(name=output),))


@pytest.mark.parametrize(
    ("classes", "dtype"), [((0, 1), pl.Int64), (("no", "yes"), pl.String), ((False, True), pl.Boolean)]
)
def test_of_two_classes_it_is_the_second_from_a_half_on_and_keeps_its_type(classes, dtype):
    model = manifest("binary", classes, "probability")
    scored = with_class(pl.DataFrame({"probability": [0.5, 0.4999, None, 1.0]}), model)
    assert scored["prediction"].to_list() == [classes[1], classes[0], None, classes[1]]
    assert scored.clear().schema == with_class(scored.clear().drop("prediction"), model).schema
    assert scored.schema["prediction"] == dtype


def test_of_several_classes_it_is_the_most_probable_and_the_first_of_equals():
    model = manifest("multiclass", ("a", "b", "c"), "probabilities")
    scored = with_class(pl.DataFrame({"probabilities": [[0.4, 0.4, 0.2], [0.1, 0.2, 0.7], None]}), model)
    assert scored["prediction"].to_list() == ["a", "c", None]


def test_a_model_without_classes_or_with_a_column_of_that_name_tells_none():
    rows = pl.DataFrame({"value": [1.0]})
    assert with_class(rows, manifest("regression", (), "value")).columns == ["value"]
    own = manifest("binary", (0, 1), "probability", inputs=("prediction",))
    assert added_names(own) == ["probability"]


def test_rows_that_have_such_a_column_already_are_refused():
    names = added_names(manifest("binary", (0, 1), "probability"))
    with pytest.raises(DataError, match="a column 'prediction'"):
        check_names(["x", "prediction"], names)


def test_in_csv_each_of_several_classes_has_a_column_of_its_own():
    model = manifest("multiclass", ("a", "b"), "probabilities")
    rows = pl.DataFrame({"x": [1, 2], "probabilities": [[0.25, 0.75], None], "prediction": ["b", None]})
    flat = by_class(rows, model)
    assert flat.columns == ["x", "probabilities[a]", "probabilities[b]", "prediction"]
    assert flat.rows() == [(1, 0.25, 0.75, "b"), (2, None, None, None)]
    assert by_class(rows.clear(), model).schema == flat.schema
    with pytest.raises(DataError, match=r"probabilities\[a\]"):
        by_class(rows.with_columns(pl.lit(1).alias("probabilities[a]")), model)


def test_other_answers_are_left_as_they_are():
    rows = pl.DataFrame({"probability": [0.5], "prediction": [1]})
    assert by_class(rows, manifest("binary", (0, 1), "probability")).equals(rows)
