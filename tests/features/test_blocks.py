"""Rows read block by block: each once an epoch, shards of equal length, and what a pass over them learns is what the whole table says."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest

from mlopsfw.data.tables import row_order
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features import FeaturePlan, Ramp, Scale, summary
from mlopsfw.features import survey as surveys
from mlopsfw.features.blocks import Blocks, Part, read_handle, write_handle
from mlopsfw.features.survey import survey, survey_plan
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.testing.trainer import training_rows, training_task

ROWS = 1000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_order, "BLOCK", 64)


@pytest.fixture
def table(tmp_path):
    """A table in two files, with an id, some rows of which have no label."""
    frame = training_rows(ROWS).with_columns(
        id=pl.int_range(pl.len()), binary=pl.when(pl.int_range(pl.len()) % 7 != 0).then("binary")
    )
    frame[:301].write_parquet(tmp_path / "a.parquet", row_group_size=70)
    frame[301:].write_parquet(tmp_path / "b.parquet", row_group_size=128)
    return TableHandle(pl.scan_parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"]), ROWS, "digest")


LABELLED = [number for number in range(ROWS) if number % 7]
TASK = training_task("binary", exclude=("id", "multiclass", "regression"))
TIMED = training_task("binary", exclude=("id", "multiclass", "regression"), time="moment")


def blocks_of(table, part):
    return survey(table, TASK, ["id", "binary", "moment"], "training").blocks(part)


def ids(frames):
    return [value for frame in frames for value in frame["id"].to_list()]


@pytest.mark.parametrize("task", [TASK, TIMED])
def test_an_epoch_has_each_row_with_a_label_once_learned_or_held_out(table, task):
    surveyed = survey(table, task, ["id", "binary", "moment"], "training")
    learned, held = (surveyed.blocks(part) for part in surveyed.parts(task, 0.2))
    rows = [ids(each) for each in (learned.shuffled(3, 0), learned.shuffled(3, 1), held.in_order())]
    assert sorted(rows[0] + rows[2]) == sorted(rows[1] + rows[2]) == LABELLED
    assert len(rows[2]) == pytest.approx(0.2 * len(LABELLED), abs=35)
    assert rows[0] != rows[1]


def test_the_rows_held_out_are_the_latest_where_rows_have_a_time(table):
    surveyed = survey(table, TIMED, ["id", "binary", "moment"], "training")
    part = surveyed.parts(TIMED, 0.2)[1]
    held = set(ids(blocks_of(table, part).in_order()))
    times = table.lazy().filter(pl.col("binary").is_not_null()).sort("moment").collect()
    assert held == set(times["id"][-len(held) :])
    assert len(held) == int(0.2 * len(LABELLED))


def test_times_that_are_all_equal_hold_out_random_rows(table):
    still = TableHandle(table.lazy().with_columns(moment=pl.lit(1)), ROWS, "")
    surveyed = survey(still, TIMED, ["binary", "moment"], "training")
    assert 90 < len(surveyed.blocks(surveyed.parts(TIMED, 0.2)[1])) < 250


def test_nothing_is_held_out_where_the_share_gives_no_row(table):
    assert survey(table, TASK, ["binary"], "training").parts(TASK, 1e-4) == (Part(target="binary"), None)


@pytest.mark.parametrize("of", [1, 2, 3])
def test_shards_have_equal_counts_and_no_row_twice(table, of):
    blocks = blocks_of(table, Part(target="binary"))
    shards = [ids(blocks.shuffled(5, 2, (rank, of))) for rank in range(of)]
    assert {len(shard) for shard in shards} == {len(LABELLED) // of}
    together = list(itertools.chain(*shards))
    assert len(set(together)) == len(together)
    assert set(together) <= set(LABELLED)


@pytest.mark.parametrize("start", [0, 1, 255, 256, 700, 856])
def test_a_resumed_epoch_has_the_rows_that_were_left(table, start):
    blocks = blocks_of(table, Part(target="binary"))
    whole = ids(blocks.shuffled(5, 2))
    assert ids(blocks.shuffled(5, 2, start=start)) == whole[start:]


class Counting(TableHandle):
    """A table that notes which blocks of which columns are read."""

    read: list

    def part(self, columns, start, rows):
        self.read.append((start, tuple(columns)))
        return super().part(columns, start, rows)


def test_a_shard_reads_its_own_blocks_and_a_resumed_epoch_no_window_that_is_over(table):
    counting = Counting(table.lazy(), ROWS, "")
    counting.read = []
    sizes = survey(table, TASK, ["binary"], "training").sizes
    blocks = Blocks(counting, ["id"], Part(target="binary"), sizes, 64)
    list(blocks.shuffled(1, 0, (0, 2)))
    assert len(counting.read) <= 9  # of 16
    assert {columns for _, columns in counting.read} == {("id", "binary")}
    counting.read.clear()
    next(blocks.shuffled(1, 0, start=sum(sizes) - 1))
    assert len(counting.read) <= 4


def test_a_handle_goes_to_another_process_as_the_place_of_its_rows(table, tmp_path):
    write_handle(table, tmp_path / "train.handle")
    there = read_handle(tmp_path / "train.handle")
    assert (there.rows, there.digest) == (table.rows, table.digest)
    assert there.table().equals(table.table())
    assert (tmp_path / "train.handle").stat().st_size < 4000


@pytest.mark.parametrize("derive", [False, True])
def test_the_plan_of_a_pass_over_blocks_is_that_of_the_whole_table(table, derive):
    task = TASK
    if derive:
        from mlopsfw.features.recipe import derived_columns

        columns = derived_columns(
            {"ratio": "number / count", "both": "color + code"}, table.lazy().collect_schema(), {}
        )
        task = training_task("binary", exclude=("id", "multiclass", "regression"), derived=columns)
    columns = [name for name in table.schema.names if name not in ("id", "multiclass", "regression")]
    whole = FeaturePlan.fit(table.lazy().filter(pl.col("binary").is_not_null()).collect(), task)
    _, plan = survey_plan(table, task, columns)
    assert plan.inputs == whole.inputs
    assert len(plan.operations) == len(whole.operations)
    for made, wanted in zip(plan.operations, whole.operations, strict=True):
        if isinstance(wanted, Scale):
            assert (made.mean, made.factor) == pytest.approx((wanted.mean, wanted.factor), rel=1e-12)
        else:
            assert made == wanted


def test_quantiles_of_many_rows_are_those_of_a_sample_of_all_blocks(table, monkeypatch):
    monkeypatch.setattr(surveys, "SAMPLED", 500)
    surveyed, plan = survey_plan(
        table, TASK, ["number", "count", "color", "code", "flag", "moment", "constant", "day", "binary"]
    )
    assert 400 < surveyed.sample.height < 520
    assert np.unique(surveyed.positions // 64).size == 16
    edges = next(op.edges for op in plan.operations if isinstance(op, Ramp) and op.column == "number")
    whole = table.lazy().select("number").drop_nulls().collect()["number"]
    shares = [(whole <= edge).mean() for edge in edges]
    assert np.abs(np.array(shares) - np.linspace(0, 1, len(edges))).max() < 0.08


def test_texts_that_are_too_many_to_count_have_the_categories_of_the_sample(monkeypatch):
    texts = [f"common{row % 3}" if row % 2 else f"{row} is a text that no other row has" for row in range(ROWS)]
    table = TableHandle.of(pl.DataFrame({"text": texts, "y": [row % 3 == 0 for row in range(ROWS)]}))
    task, plans = TrainingTask(task="binary", target="y"), []
    for most in (1 << 25, 1000):
        monkeypatch.setattr(summary, "_COUNTED", most)
        plans.append(survey_plan(table, task, ["text", "y"])[1])
    assert plans[0] == plans[1] == FeaturePlan.fit(table.table(), task)
    monkeypatch.setattr(surveys, "SAMPLED", 3)  # a row of each block
    plans.append(survey_plan(table, task, ["text", "y"])[1])
    assert len(plans[2].operations[0].values) <= 3


def test_a_sample_of_long_texts_keeps_nothing_of_the_other_rows(monkeypatch):
    monkeypatch.setattr(surveys, "SAMPLED", 50)
    table = TableHandle.of(pl.DataFrame({"text": [f"{row:0200d}" for row in range(ROWS)], "y": [0.0] * ROWS}))
    sample = survey(table, TrainingTask(task="regression", target="y"), ["text", "y"], "training").sample
    kept = sample["text"].to_arrow(compat_level=pl.CompatLevel.newest()).get_total_buffer_size()
    assert kept < 60 * 250


def test_what_no_training_can_use_is_refused_by_name(table):
    with pytest.raises(DataError, match="lack the target column 'no'"):
        survey(table, TrainingTask(task="binary", target="no"), ["id"], "validation")
    without = TableHandle(table.lazy().with_columns(binary=pl.lit(None, pl.Boolean)), ROWS, "")
    with pytest.raises(DataError, match="none of the 1000 training rows has a label"):
        survey_plan(without, TASK, ["number", "count", "color", "code", "flag", "moment", "constant", "day", "binary"])
    weightless = TableHandle(table.lazy().with_columns(weight=pl.lit(0.0)), ROWS, "")
    with pytest.raises(DataError, match="not all zero"):
        survey(weightless, training_task("binary", weight="weight"), ["binary", "weight"], "training")
