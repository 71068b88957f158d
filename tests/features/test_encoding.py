"""Columns as the numbers that trees read."""

from __future__ import annotations

import numpy as np
import pytest

from mlopsfw.features.encoding import Encoding


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
