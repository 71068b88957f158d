"""The hint of an error offers a name only where it is near; else it lists the names that there are."""

from __future__ import annotations

import pytest

from mlopsfw.kernel.base.ids import nearest


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("valt", "vault"),
        ("idd", "id"),
        ("hours", "hour"),
        ("htpp", "http"),
        ("saef", "safe"),
        ("Champion", "champion"),
        ("learning-rate", "learning_rate"),
        ("lerning_rat", "learning_rate"),
        ("pipleine", "pipeline"),
        ("xetra", "extra"),
    ],
)
def test_one_edit_for_four_letters_is_near(wrong, right):
    assert nearest(wrong, ["something", right, "else"]) == f"Did you mean {right!r}?"


@pytest.mark.parametrize(
    ("wrong", "other"),
    [
        ("metric", "retries"),
        ("ui", "audit"),
        ("docker", "doctor"),
        ("ab", "ac"),
        ("cat", "car_"),
        ("steps", "stop"),
        ("date", "rates"),
        ("learn", "learning_rate"),
        ("", "a"),
        ("x" * 1_000_000, "name"),
    ],
)
def test_what_is_further_hides_no_list_of_the_names_there_are(wrong, other):
    assert nearest(wrong, ["zz", other]) == f"Known: {', '.join(sorted([other, 'zz']))}."


def test_the_nearest_of_several_is_offered_and_of_equals_the_first():
    assert nearest("carrier1", ["carrier", "carier", "carrier12"]) == "Did you mean 'carrier'?"


def test_without_any_name_the_hint_says_so():
    assert nearest("a", []) == "There are none yet."
