"""Every detector promises: one value at a time or a column give the same; state resumes exactly; missing rows change nothing."""

from __future__ import annotations

import json
import math
import threading
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from online_streams import ERRORS, MAKERS, one_by_one, stream, through_json

from mlopsfw_core import online

EACH = pytest.mark.parametrize("name", MAKERS)


@EACH
def test_a_column_and_single_values_give_the_same(name):
    make, kinds = MAKERS[name]
    for seed in range(60):
        _, values = stream(kinds, seed, 600)
        whole, single = make(), make()
        assert whole.update_many(values).tolist() == one_by_one(single, values)
        assert whole.to_dict() == single.to_dict()


@EACH
def test_a_resumed_detector_goes_on_exactly(name):
    make, kinds = MAKERS[name]
    for seed in range(60):
        rng, values = stream(kinds, seed, 900)
        cuts = [0, *np.sort(rng.integers(0, len(values), 5)), len(values)]
        whole, resumed, fired = make(), make(), []
        for low, high in pairwise(cuts):
            fired += (resumed.update_many(values[low:high]) + low).tolist()
            resumed = through_json(resumed)
        assert fired == whole.update_many(values).tolist()
        assert resumed.to_dict() == whole.to_dict()


@EACH
def test_missing_rows_are_no_observations_and_rows_are_counted_with_them(name):
    make, kinds = MAKERS[name]
    for seed in range(30):
        rng, values = stream(kinds, seed, 600)
        here = rng.random(len(values)) < 0.8
        nulls, nans, kept = make(), make(), make()
        fired = nulls.update_many(pl.Series(values).set(pl.Series(~here), None)).tolist()
        assert fired == np.flatnonzero(here)[kept.update_many(values[here])].tolist()
        assert fired == one_by_one(nans, np.where(here, values, np.nan))
        assert nulls.to_dict() == nans.to_dict()


@EACH
def test_nothing_changes_nothing(name):
    detector = MAKERS[name][0]()
    before = detector.to_dict()
    assert detector.update_many([]).tolist() == []
    assert detector.update_many([None, None]).tolist() == []
    assert detector.to_dict() == before
    assert detector.drift_detected is False


@EACH
def test_reset_forgets(name):
    make, kinds = MAKERS[name]
    detector = make()
    detector.update_many(stream(kinds, 1)[1])
    detector.reset()
    assert detector.to_dict() == make().to_dict()


def test_a_threshold_without_end_is_written_as_strict_json():
    kept = online.PageHinkley(threshold=math.inf).to_dict()
    read = online.PageHinkley.from_dict(json.loads(json.dumps(kept, allow_nan=False)))
    assert (read.threshold, read.to_dict()) == (math.inf, kept)


def test_counts_that_nobody_counted_are_refused():
    kept = online.ADWIN().to_dict()
    kept["state"]["tick"] = 2**63 - 1
    with pytest.raises(ValueError, match="no count"):
        online.ADWIN.from_dict(kept)


@EACH
def test_states_of_others_and_damaged_ones_are_refused(name):
    make, kinds = MAKERS[name]
    detector = make()
    detector.update_many(stream(kinds, 2)[1])
    kept = detector.to_dict()
    cls = type(detector)
    for wrong in ({**kept, "detector": "Oracle"}, {**kept, "version": 99}, [], None):
        with pytest.raises(ValueError, match="state"):
            cls.from_dict(wrong)
    for part in kept:
        with pytest.raises(ValueError, match="state"):
            cls.from_dict({key: value for key, value in kept.items() if key != part})
    for field in kept["state"]:
        with pytest.raises(ValueError, match="state"):
            cls.from_dict({**kept, "state": {key: value for key, value in kept["state"].items() if key != field}})
        with pytest.raises(ValueError, match="state"):
            cls.from_dict({**kept, "state": {**kept["state"], field: {"no": "number"}}})


@EACH
def test_threads_take_turns(name):
    make, kinds = MAKERS[name]
    rng = np.random.default_rng(7)
    values = np.concatenate([kind(rng, 2000).astype(float) for kind in kinds.values()])
    shared, alone = make(), make()
    pieces = [np.full(len(values), np.nan), values]
    threads = [threading.Thread(target=lambda p=p: [shared.update_many(p) for _ in range(5)]) for p in pieces * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(10):
        alone.update_many(values)
    assert shared.update_many(values).tolist() == alone.update_many(values).tolist()


@EACH
def test_any_column_of_numbers_is_read(name):
    make, kinds = MAKERS[name]
    values = kinds["abrupt" if kinds is ERRORS else "ties"](np.random.default_rng(8), 800).astype(int) % 2
    expected = make().update_many(values.astype(float)).tolist()
    for column in (
        values,
        values.astype(bool),
        values[::-1][::-1],
        values.tolist(),
        pl.Series(values),
        pl.Series(values).cast(pl.Boolean),
    ):
        assert make().update_many(column).tolist() == expected
