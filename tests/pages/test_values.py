"""Numbers and values as people read them."""

from __future__ import annotations

import math

import pytest

from mlopsfw.pages.values import number_text, text_of_value


@pytest.mark.parametrize(
    ("value", "text"),
    [(150000, "150000"), (1234567.0, "1234567"), (-0.123456, "-0.1235"), (1.5e-7, "1.5e-07"), (math.nan, "nan"), (-math.inf, "-inf")],
)  # fmt: skip
def test_a_whole_number_keeps_its_digits_and_a_fraction_four_of_them(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (1234567.0, "1234567"), (1234.5678, "1234.57"), ("a b", "a b"), ([1, "x"], '[1,"x"]')],
)
def test_a_cell_shows_a_value_as_the_script_of_the_page_does(value, text):
    assert text_of_value(value) == text
