"""A state that was tampered with is refused, or is a state: it never crashes the process or leaves memory that is not its own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from online_streams import MAKERS, stream

ODD = [
    None,
    -1,
    0,
    1,
    2**31,
    2**62,
    2**64,
    -(2**63),
    1e308,
    "inf",
    "nan",
    "-inf",
    "x",
    "01" * 50,
    [],
    [1],
    [[1, 2]],
    {},
    True,
    0.5,
]


def leaves(node, path=()):
    """Return the paths of every value in a nested dict."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = [leaf for key, item in items for leaf in leaves(item, (*path, key))]
    return [*found, path] if path else found


def tampered(rng, state):
    """Put one or two odd values somewhere into a state."""
    changed = copy.deepcopy(state)
    for _ in range(rng.integers(1, 3)):
        *way, last = paths[rng.integers(len(paths))] if (paths := leaves(changed)) else ["detector"]
        node = changed
        for key in way:
            node = node[key]
        node[last] = copy.deepcopy(ODD[rng.integers(len(ODD))])
    return changed


def assert_refused_or_running(make, kinds, seed):
    rng, values = stream(kinds, seed, 300)
    detector = make()
    detector.update_many(values)
    try:
        resumed = type(detector).from_dict(tampered(rng, detector.to_dict()))
    except ValueError:
        return
    resumed.update_many(values)
    resumed.to_dict()


@pytest.mark.parametrize("name", MAKERS)
def test_tampered_states_never_crash(name):
    make, kinds = MAKERS[name]
    for seed in range(400):
        assert_refused_or_running(make, kinds, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("name", MAKERS)
def test_tampered_states_never_crash_in_10000_tries(name):
    make, kinds = MAKERS[name]
    for seed in range(400, 10_400):
        assert_refused_or_running(make, kinds, seed)


@pytest.mark.parametrize("name", MAKERS)
def test_odd_columns_are_refused_or_read(name):
    make, _ = MAKERS[name]
    for column in (["a"], "text", np.array([b"x"]), {"a": 1}, [[1], [2, 3]]):
        with pytest.raises((TypeError, ValueError)):
            make().update_many(column)
