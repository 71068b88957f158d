"""The bound on the depth of JSON that others wrote."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw.kernel.base.nesting import MOST_NESTED, is_too_deep


def nested(levels, opens="[", closes="]"):
    return opens * levels + "1" * (opens != "[") + closes * levels


@pytest.mark.parametrize(
    "inside", ["%s\n", '{"a": "[", "b": 1}\n%s', "\n[[1], [2], {}]\n%s", '{"q": "\\\\\\"]]]"}\n%s']
)
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}"), ("\n[\n", "\n]\n")])
def test_text_is_too_deep_from_one_level_beyond_the_bound_on(inside, opens, closes):
    assert not is_too_deep((inside % nested(MOST_NESTED, opens, closes)).encode())
    assert is_too_deep((inside % nested(MOST_NESTED + 1, opens, closes)).encode())


def test_text_is_too_deep_where_its_brackets_stay_open():
    assert is_too_deep(b"[" * 1_000_000)
    assert is_too_deep(b'{"a":' * 1_000_000)


@pytest.mark.parametrize("text", ["[" * 9_999, '"[' * 9_999, "\\" * 5_000 + "[" * 500 + '"'])
def test_brackets_within_a_text_do_not_count(text):
    assert not is_too_deep(json.dumps({"a": text, "b": [text]}).encode())


JSON = st.recursive(
    st.text('[]{}"\\a') | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text('[{"\\'), inner)
)


@given(JSON)
def test_wide_and_odd_values_are_not_too_deep(value):
    assert not is_too_deep(json.dumps([value] * 60).encode())
