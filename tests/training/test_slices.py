"""A slice that is worse is reported, confirmed on rows that the search did not see; without one, next to nothing is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlopsfw.training.baselines import majority
from mlopsfw.training.crossfit import Judged
from mlopsfw.training.slices import losses, search


def table(rows, draw):
    return pl.DataFrame(
        {
            "carrier": draw.choice(["AA", "UA", "B6", None], rows).tolist(),
            "distance": draw.uniform(0, 2000, rows),
            "seats": draw.integers(1, 4, rows),
            "cargo": draw.random(rows) < 0.3,
            "moment": np.arange(rows).astype("M8[us]"),
        }
    )


def test_a_planted_slice_of_two_columns_is_found_and_confirmed():
    draw = np.random.default_rng(0)
    rows = table(4000, draw)
    worse = ((rows["carrier"] == "UA").fill_null(value=False) & (rows["distance"] >= 1500)).to_numpy()
    found = search(rows, draw.exponential(1 + 1.5 * worse), np.arange(4000))
    assert found[0].confirmed
    assert found[0].where.startswith("carrier = 'UA' and distance >= 14") or "and carrier = 'UA'" in found[0].where
    assert found[0].loss > 2
    assert found[0].rest < 1.3
    assert found[0].low > 0.5


def test_a_missing_value_is_a_slice():
    draw = np.random.default_rng(0)
    rows = table(2000, draw)
    worse = rows["carrier"].is_null().to_numpy()
    assert search(rows, draw.exponential(1 + worse), np.arange(2000))[0].where == "carrier is null"


@pytest.mark.parametrize("simulations", [10, pytest.param(300, marks=pytest.mark.nightly)], ids=["push", "nightly"])
def test_without_a_worse_slice_hardly_any_is_confirmed(simulations):
    draw, wrong = np.random.default_rng(1), 0
    for _ in range(simulations):
        found = search(table(600, draw), draw.exponential(1, 600), np.arange(600))
        assert found
        wrong += any(each.confirmed for each in found)
    assert wrong <= max(3, 0.05 * simulations)


def test_rows_of_a_cluster_are_in_one_half_so_that_their_luck_confirms_nothing():
    draw, wrong = np.random.default_rng(2), 0
    who = np.repeat(np.arange(40), 25)
    for _ in range(10):
        rows = pl.DataFrame({"town": (who % 7).astype(str)})
        found = search(rows, (draw.exponential(1, 40))[who] + draw.exponential(0.1, 1000), who)
        wrong += any(each.confirmed for each in found)
    assert wrong <= 1


@pytest.mark.parametrize(
    "rows",
    [
        pl.DataFrame({"one": ["a"] * 100}),
        pl.DataFrame({"when": np.arange(100).astype("M8[D]")}),
        table(40, np.random.default_rng(0)),
    ],
)
def test_rows_that_cannot_be_sliced_have_no_slices(rows):
    assert search(rows, np.ones(rows.height), np.arange(rows.height)) == []


def test_the_loss_of_a_row_is_that_of_its_own_label():
    judged = Judged(np.arange(2), np.zeros(2), np.array([1, 0]), {"p": np.array([0.5, 0.0])}, None)
    assert losses(judged, (False, True)) == pytest.approx([np.log(2), 0])
    assert losses(judged._replace(labels=np.array([2.5, 1.0])), ()) == pytest.approx([4, 1])


def test_the_loss_of_a_slice_counts_weights():
    draw = np.random.default_rng(0)
    rows = pl.DataFrame({"carrier": ["UA", "AA"] * 1000})
    loss = np.where(np.arange(2000) % 4 == 0, 5.0, draw.exponential(1, 2000))  # half of UA
    weights = np.where(np.arange(2000) % 4 == 0, 0.0, 1.0)
    assert search(rows, loss, np.arange(2000))[0].where == "carrier = 'UA'"
    assert all(each.loss < 2 for each in search(rows, loss, np.arange(2000), weights=weights))
    assert search(rows, loss, np.arange(2000), weights=np.zeros(2000)) == []


def test_rows_without_weight_do_not_decide_which_slice_is_worst():
    draw = np.random.default_rng(0)
    town, ignored = draw.choice(["A", "B"], 2000), np.arange(2000) % 4 == 0  # half of UA
    rows = pl.DataFrame({"carrier": ["UA", "AA"] * 1000, "town": town})
    loss = np.where(ignored, 5.0, draw.exponential(1 + (town == "A")))
    assert search(rows, loss, np.arange(2000))[0].where.startswith("carrier = 'UA'")
    assert search(rows, loss, np.arange(2000), weights=1.0 - ignored)[0].where.startswith("town = 'A'")


def test_the_baseline_of_shares_counts_weights():
    assert majority(np.array([0, 1, 1]), 2, 1, np.array([2.0, 1.0, 1.0])).tolist() == [0.5]
    assert majority(np.array([1.0, 4.0]), 0, 1, np.array([2.0, 1.0])).tolist() == [2.0]
    assert majority(np.array([0, 1]), 2, 1, np.zeros(2)).tolist() == [0.5]


@pytest.mark.parametrize("silent", [0, 1])
def test_a_slice_whose_rows_weigh_nothing_in_the_other_half_is_left_out(silent):
    half, late = np.repeat([0, 1], 500), np.arange(1000) % 2 == 0  # two clusters: the search sees one of them
    rows = pl.DataFrame({"carrier": np.where(late, "UA", "AA")})
    weights = np.where(late & (half == silent), 0.0, 1.0)
    found = search(rows, 1 + 4.0 * late, half, weights=weights)
    assert "carrier = 'UA'" not in [each.where for each in found]


def test_slices_that_share_most_of_their_rows_are_one():
    draw, at = np.random.default_rng(0), np.arange(2000)
    late, most = at % 5 == 0, (at % 5 == 0) & (at % 25 > 0)  # four fifths of the late rows
    found = search(pl.DataFrame({"late": late, "most": most}), draw.exponential(1 + late), at)
    assert [each.where for each in found] == ["late = True", "most = False and late = True"]  # not `most = True`
