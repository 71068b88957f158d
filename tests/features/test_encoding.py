"""Columns as the numbers that trees read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlopsfw.errors import BundleError
from mlopsfw.features.encoding import Encoding, ascending, outputs_of
from mlopsfw.kernel.roles.bundle import Manifest, OutputColumn


@pytest.mark.parametrize(
    ("encoding", "values", "expected"),
    [
        (Encoding(column="c", kind="number"), np.array([1.5, np.nan, np.inf]), [1.5, np.nan, np.inf]),
        (Encoding(column="c", kind="number"), np.array([2**40, -3]), [2.0**40, -3.0]),
        (Encoding(column="c", kind="number"), np.array([True, None, False], dtype=object), [1.0, np.nan, 0.0]),
        (Encoding(column="c", kind="number"), np.array(["1970-01-02", "NaT"], "M8[D]"), [86400.0, np.nan]),
        (Encoding(column="c", kind="number"), np.array(["1969-12-31T23:59:59.5"], "M8[us]"), [-0.5]),
        (
            Encoding(column="c", kind="category", categories=("a", "b")),
            np.array(["b", "unseen", None, "a"], dtype=object),
            [1.0, np.nan, np.nan, 0.0],
        ),
        (Encoding(column="c", kind="category", categories=("7", "8")), np.array([8, 9]), [1.0, np.nan]),
    ],
)
def test_a_column_becomes_numbers_and_what_is_unknown_is_missing(encoding, values, expected):
    assert np.array_equal(encoding.numbers(values), np.array(expected), equal_nan=True)


def test_quantiles_that_cross_are_put_in_order_row_by_row():
    low, high = ascending([np.array([1.0, 5.0, 2.0]), np.array([2.0, 3.0, 2.0])])
    assert (low.tolist(), high.tolist()) == ([1.0, 3.0, 2.0], [2.0, 5.0, 2.0])
    assert ascending([]) == []


def manifest(**outputs):
    declared = tuple(OutputColumn(name=name, type="number", quantile=level) for name, level in outputs.items())
    return Manifest(task="regression", target="y", inputs=(), outputs=declared, formats={}, files={})


def test_trees_answer_the_value_and_quantiles_of_their_own_names_and_nothing_else():
    assert outputs_of(manifest(value=None, **{"quantile_0.1": 0.1, "quantile_0.9": 0.9}), Path("model.txt")) == (
        "value",
        "quantile_0.1",
        "quantile_0.9",
    )
    for wrong in ({"low": 0.1}, {"value": None, "low": 0.1}, {"value": None, "other": None}):
        with pytest.raises(BundleError, match="which no regression model returns"):
            outputs_of(manifest(**wrong), Path("model.txt"))
