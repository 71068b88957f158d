"""The trainers of trees with rows that do not fit into memory: the same files, less memory, and no page left behind."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import xgboost

from mlopsfw.data.tables import row_order
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import DataError, PluginError
from mlopsfw.testing.trainer import Context, Stopped, digests, training_rows, training_task
from mlopsfw_lightgbm import LightGbmConfig
from mlopsfw_lightgbm.trainer import LightGbmTrainer
from mlopsfw_xgboost import XgBoostConfig
from mlopsfw_xgboost.trainer import XgBoostTrainer

TREES = {
    "lightgbm": lambda **more: LightGbmTrainer(LightGbmConfig(num_iterations=12, **more)),
    "xgboost": lambda **more: XgBoostTrainer(XgBoostConfig(num_boost_round=12, **more)),
}


@pytest.fixture(params=TREES)
def trees(request):
    return TREES[request.param]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_order, "BLOCK", 128)


def table(rows, seed=0):
    """Rows of two colours of missing labels, with weights of which a whole block is 0."""
    at = pl.int_range(pl.len())
    return TableHandle.of(
        training_rows(rows, seed).with_columns(
            number=pl.when(at == 5).then(1e300).otherwise("number"),
            weight=pl.when(at < 128).then(0.0).otherwise(1.0 + at % 3),
            binary=pl.when(at % 7 != 0).then("binary"),
            regression=pl.when(at % 7 != 0).then("regression"),
        )
    )


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("binary", {"weight": "weight"}),
        ("multiclass", {"options": {"code": {"buckets": 32}, "color": {"pii": True}, "count": {"kind": "category"}}}),
        ("regression", {}),
    ],
)
def test_rows_read_block_by_block_give_the_file_of_rows_in_memory(tmp_path, trees, kind, more):
    exclude = ("binary", "multiclass", "regression", "weight")
    task = training_task(
        kind, exclude=tuple(name for name in exclude if name not in (kind, more.get("weight"))), **more
    )
    made = []
    for memory in ("1GiB", "1kB"):
        context = Context.under(tmp_path, memory)
        made.append(trees(memory=memory).fit(task, table(900), table(300, 1), context))
        assert {each.name for each in context.scratch.iterdir()} == set(made[-1].files)
        assert ("streamed_rows" in {name for name, _, _ in context.metrics}) == (memory == "1kB")
    whole, streamed = made
    assert digests(streamed) == digests(whole)
    assert streamed.metrics == whole.metrics
    assert streamed.inputs == whole.inputs
    facts = [{**each.facts, "attributions": each.facts["attributions"](), "settings": {}} for each in made]
    assert facts[1] == {**facts[0], "streamed": True}


@pytest.mark.usefixtures("small_blocks")
def test_the_latest_rows_are_held_out_as_in_memory_and_random_ones_are_about_their_share(tmp_path, trees):
    task = training_task("binary", exclude=("multiclass", "regression", "weight", "day"), time="moment")
    whole, streamed = (
        trees(memory=memory, holdout=0.2).fit(task, table(900), None, Context.under(tmp_path, memory))
        for memory in ("1GiB", "1kB")
    )
    assert digests(streamed) == digests(whole)
    assert streamed.metrics == whole.metrics
    assert streamed.facts["validation_rows"] == whole.facts["validation_rows"] > 100
    task = training_task("binary", exclude=("multiclass", "regression", "weight"))
    drawn = trees(memory="1kB", holdout=0.2).fit(task, table(900), None, Context.under(tmp_path, "drawn"))
    assert drawn.facts["validation_rows"] == pytest.approx(0.2 * drawn.facts["rows"], abs=40)
    assert drawn.metrics["holdout_auc"] > 0.7


@pytest.mark.usefixtures("small_blocks")
def test_a_label_that_cannot_be_learned_from_is_the_same_error_and_leaves_no_page(tmp_path, trees):
    at = pl.int_range(pl.len())
    rows = training_rows(700).with_columns(regression=pl.when(at == 650).then(np.inf).otherwise("regression"))
    context = Context.under(tmp_path, "infinite")
    with pytest.raises(DataError, match="the target 'regression' holds infinite values"):
        trees(memory="1kB").fit(training_task("regression"), TableHandle.of(rows), None, context)
    stopped = Context.under(tmp_path, "stopped", stop_at=3)
    with pytest.raises(Stopped):
        trees(memory="1kB").fit(training_task("binary"), table(700), None, stopped)
    assert list(stopped.scratch.iterdir()) == []


def test_a_gpu_that_is_asked_for_and_absent_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("mlopsfw_xgboost.blocks.xgboost.build_info", lambda: {"USE_CUDA": False})
    with pytest.raises(PluginError, match=r"device = 'cuda', but XGBoost .* is built for the CPU") as caught:
        TREES["xgboost"](device="cuda").fit(training_task("binary"), table(100), None, Context.under(tmp_path, "cpu"))
    assert "device = 'cpu'" in caught.value.hint
    monkeypatch.setattr("mlopsfw_xgboost.blocks.xgboost.build_info", lambda: {"USE_CUDA": True})
    monkeypatch.setattr("mlopsfw_xgboost.blocks._chosen", lambda _: "cpu")
    with pytest.raises(PluginError, match="finds no GPU on this machine"):
        TREES["xgboost"](device="cuda").fit(training_task("binary"), table(100), None, Context.under(tmp_path, "none"))


@pytest.mark.filterwarnings("ignore:.*Device is changed from GPU to CPU:UserWarning")
def test_the_device_that_xgboost_takes_is_asked_of_xgboost():
    from mlopsfw_xgboost.blocks import _chosen

    assert _chosen("cpu") == "cpu"
    if not xgboost.build_info().get("USE_CUDA"):
        assert _chosen("cuda") == "cpu"


CHILD = """
import sys
from pathlib import Path
import polars as pl
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.roles import TrainingTask
from mlopsfw.testing.trainer import Context
from mlopsfw_lightgbm import LightGbmConfig
from mlopsfw_lightgbm.trainer import LightGbmTrainer
from mlopsfw_xgboost import XgBoostConfig
from mlopsfw_xgboost.trainer import XgBoostTrainer

def held(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(what))

kind, memory, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
trainer = (
    LightGbmTrainer(LightGbmConfig(num_iterations=2, memory=memory)) if kind == "lightgbm"
    else XgBoostTrainer(XgBoostConfig(num_boost_round=2, memory=memory))
)
table = TableHandle(pl.scan_parquet(folder / "rows.parquet"), 1_500_000, "")
before = held("VmRSS")
trainer.fit(TrainingTask(task="binary", target="y"), table, None, Context.under(folder, kind + memory))
print(held("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file of 1.5 million rows of twenty numbers: 229 MiB as a matrix."""
    folder = tmp_path_factory.mktemp("large")
    row = pl.int_range(1_500_000, eager=False)
    numbers = {f"n{n}": (row * (n + 3) % 9973).cast(pl.Float64) for n in range(20)}
    pl.select(**numbers, y=row % 2 == 0).write_parquet(folder / "rows.parquet", row_group_size=100_000)
    return folder


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("kind", TREES)
def test_rows_read_block_by_block_take_less_memory_than_the_matrix(large, kind):
    peaks = []
    for memory in ("100GiB", "1kB"):
        command = [sys.executable, "-c", CHILD, kind, memory, str(large)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    whole, streamed = peaks
    print(kind, peaks)  # noqa: T201 - pytest shows it with -rA
    assert streamed < whole - 100
