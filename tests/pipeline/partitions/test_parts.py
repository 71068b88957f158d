"""Steps by parts: the same result as at once, and only parts whose rows changed run again."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mlopsfw.data.datasets.comparison import ranges
from mlopsfw.data.tables.digest import BLOCK, table_digest
from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.roles.artifact import Artifact

ROWS = 2 * BLOCK + 5_000
DOUBLED = """
import polars as pl
def doubled(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(twice=pl.col("n") * 2)
def size(rows: pl.DataFrame): return rows.height
def largest(sizes): return max(sizes)
def square(x): return x * x
def settings(): return [1, 2, 3]
def empty(): return []
def name(rows): return pl.DataFrame({"c": pl.Series([str(rows.collect().item(0, "n"))], dtype=pl.Categorical)})
def shifty(rows): return pl.DataFrame({"n": [1 if rows.collect().item(0, "n") else 1.5]})
"""


def numbers(start, count):
    return pl.DataFrame({"n": pl.int_range(start, start + count, eager=True)}).with_columns(
        pl.when(pl.col("n") % 7 == 0).then(None).otherwise(pl.col("n").cast(pl.String)).alias("text")
    )


def commit(bench, rows, mode="append"):
    with bench.open() as project:
        return project.datasets.commit("n", rows, mode)


def by_parts(function, *, more="", each="rows", rows='"data:/n"'):
    return (
        f'[steps.work]\npython = "work:{function}"\ninputs = {{ {each} = {rows} }}\n'
        f'each = "{each}"\npart_rows = {BLOCK}\n{more}'
    )


# -- ranges ------------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 3 * BLOCK + 9), st.integers(1, 2))
@settings(max_examples=12, deadline=None)
def test_a_range_has_the_digest_of_its_rows_whether_read_or_known(tmp_path_factory, total, blocks):
    from mlopsfw.project.facade import Project

    root = tmp_path_factory.mktemp("ranges")
    (root / "mlopsfw.toml").write_text('[project]\nname = "ranges"\n', encoding="utf-8")
    rows = numbers(0, total)
    with Project.open(root) as project:
        version = project.datasets.commit("n", rows)
        known = list(ranges.of_version(project.datasets, version, blocks * BLOCK))
    expected = [rows.slice(start, blocks * BLOCK) for start in range(0, max(total, 1), blocks * BLOCK)]
    assert [found.digest for found in known] == [table_digest(part) for part in expected]
    assert known == list(ranges.of_batches(rows.lazy(), blocks * BLOCK))


@pytest.mark.parametrize("wanted", [None, "polars.LazyFrame", "polars.DataFrame", "pyarrow.Table"])
@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 10), (131_000, 131_100), (200_000, 300_000)])
def test_some_rows_of_a_table_are_those_rows(bench, wanted, start, stop):
    rows = numbers(0, 300_000)
    with bench.write("\n").open() as project:
        whole = project.values.store(rows)
        part = Artifact(kind="table", digest="", blob=whole.blob, rows=(start, stop))
        found = project.values.load(part, wanted)
    found = found.collect() if isinstance(found, pl.LazyFrame) else pl.DataFrame(found)
    assert_frame_equal(found, rows.slice(start, stop - start))


# -- running -----------------------------------------------------------------------------------------------------------------


def test_parts_give_what_the_whole_gives(bench):
    bench.write(by_parts("doubled"), work=DOUBLED)
    commit(bench, numbers(0, ROWS))
    outcome = bench.run()
    assert outcome.outputs["work"]["result"].digest == table_digest(
        numbers(0, ROWS).with_columns(twice=pl.col("n") * 2)
    )
    assert sorted(bench.ran()) == ["work", "work[0]", "work[1]", "work[2]"]


def test_after_rows_were_appended_only_the_last_part_and_new_ones_run(bench):
    bench.write(by_parts("doubled"), work=DOUBLED)
    commit(bench, numbers(0, ROWS))
    bench.run()
    commit(bench, numbers(ROWS, 2 * BLOCK))
    outcome = bench.run()
    assert sorted(bench.ran()) == ["work", "work[2]", "work[3]", "work[4]"]
    assert outcome.outputs["work"]["result"].meta["rows"] == ROWS + 2 * BLOCK
    bench.run()
    assert bench.ran() == []


def test_parts_of_a_table_that_did_not_change_are_kept_too(bench):
    first = '[steps.first]\npython = "work:doubled"\ninputs = { rows = "data:/n" }\n'
    bench.write(first + by_parts("size", rows='"first"'), work=DOUBLED)
    commit(bench, numbers(0, ROWS))
    assert bench.value(bench.run(), "work") == [BLOCK, BLOCK, 5_000]
    commit(bench, numbers(ROWS, 10))
    assert bench.value(bench.run(), "work") == [BLOCK, BLOCK, 5_010]
    assert sorted(bench.ran()) == ["first", "work", "work[2]"]


def test_values_of_parts_become_a_list_that_the_next_step_reduces(bench):
    after = '[steps.most]\npython = "work:largest"\ninputs = { sizes = "work" }\n'
    bench.write(by_parts("size", more=after), work=DOUBLED)
    commit(bench, numbers(0, ROWS))
    outcome = bench.run()
    assert (bench.value(outcome, "work"), bench.value(outcome, "most")) == ([BLOCK, BLOCK, 5_000], BLOCK)


def test_one_part_gives_a_list_of_one_also_from_the_cache(bench):
    bench.write(by_parts("size"), work=DOUBLED)
    commit(bench, numbers(0, 3))
    assert [bench.value(bench.run(), "work") for _ in range(2)] == [[3], [3]]


def test_a_table_without_rows_is_one_part(bench):
    bench.write(by_parts("doubled"), work=DOUBLED)
    commit(bench, numbers(0, 0))
    assert bench.value(bench.run(), "work").columns == ["n", "text", "twice"]


@pytest.mark.parametrize(("items", "expected"), [("settings", [1, 4, 9]), ("empty", [])])
def test_a_list_is_run_item_by_item(bench, items, expected):
    bench.write(
        f'[steps.items]\npython = "work:{items}"\n' + by_parts("square", each="x", rows='"items"'), work=DOUBLED
    )
    assert bench.value(bench.run(), "work") == expected


def test_the_time_of_a_step_by_parts_has_its_parts_in_it(bench):
    slow = DOUBLED + "import time\ndef slow(x): time.sleep(0.3); return x\n"
    bench.write('[steps.items]\npython = "work:settings"\n' + by_parts("slow", each="x", rows='"items"'), work=slow)
    outcome = bench.run()
    with bench.open() as project:
        steps = project.runs.get(outcome.run).steps
    parts = [step.seconds for name, step in steps.items() if name.startswith("work[")]
    assert len(parts) == 3
    assert max(parts) <= steps["work"].seconds <= outcome.seconds


def test_categories_of_all_parts_come_together(bench):
    bench.write(by_parts("name"), work=DOUBLED)
    commit(bench, numbers(0, ROWS))
    assert bench.value(bench.run(), "work")["c"].to_list() == ["0", str(BLOCK), str(2 * BLOCK)]


def test_sql_runs_by_parts(bench):
    query = (
        '[steps.sql]\nquery = "SELECT n FROM rows WHERE n % 1000 = 0"\ninputs = { rows = "data:/n" }\neach = "rows"\n'
    )
    bench.write(f"{query}part_rows = {BLOCK}\n")
    commit(bench, numbers(0, ROWS))
    assert bench.value(bench.run(), "sql", "rows")["n"].to_list() == list(range(0, ROWS, 1000))


def test_resume_repeats_no_part_that_is_done_even_where_nothing_is_cached(bench):
    body = "from pathlib import Path\ndef run(rows):\n    first = rows.collect().item(0, 'n')\n"
    body += "    with open('calls', 'a') as calls: print(first, file=calls)\n"
    body += "    if first and not Path('ok').exists(): raise ValueError('not yet')\n    return first\n"
    bench.write("[engine.local]\nworkers = 1\n" + by_parts("run", more="cache = false\n"), work=body)
    commit(bench, numbers(0, ROWS))
    failed = bench.run()
    assert (failed.status, failed.failed) == ("failed", "work[1]")
    (bench.root / "ok").touch()
    assert bench.value(bench.resume(), "work") == [0, BLOCK, 2 * BLOCK]
    assert (bench.root / "calls").read_text().split() == ["0", str(BLOCK), str(BLOCK), str(2 * BLOCK)]


def test_a_worker_that_is_killed_costs_its_part_alone(bench):
    body = "import os, signal\nfrom pathlib import Path\ndef run(rows):\n    first = rows.collect().item(0, 'n')\n"
    body += "    with open('calls', 'a') as calls: print(first, file=calls)\n"
    body += "    if first == 65536 and not Path('once').exists():\n        Path('once').touch()\n"
    body += "        os.kill(os.getpid(), signal.SIGKILL)\n    return first\n"
    bench.write(by_parts("run"), work=body)
    commit(bench, numbers(0, ROWS))
    assert bench.value(bench.run(), "work") == [0, BLOCK, 2 * BLOCK]
    assert sorted((bench.root / "calls").read_text().split()) == ["0", "131072", "65536", "65536"]


def test_a_part_and_the_whole_come_of_the_same_rows(bench):
    bench.write(by_parts("doubled"), work=DOUBLED)
    commit(bench, numbers(0, ROWS))
    outcome = bench.run()
    with bench.open() as project:
        assert {tuple(project.runs.datasets_of(outcome.run, step)) for step in ("work", "work[1]")} == {("data:/n@1",)}


def test_force_runs_every_part(bench):
    bench.write(by_parts("size"), work=DOUBLED)
    commit(bench, numbers(0, ROWS))
    bench.run()
    bench.run(steps=["work"], force=True)
    assert len(bench.ran()) == 4


# -- what is wrong -----------------------------------------------------------------------------------------------------------


def test_parts_that_differ_in_type_say_which_column(bench):
    bench.write(by_parts("shifty"), work=DOUBLED)
    commit(bench, numbers(0, ROWS))
    outcome = bench.run()
    assert (outcome.status, outcome.failed) == ("failed", "work")
    assert "part 1 differs from part 0 in 'n'" in outcome.failure.message


def test_what_has_no_parts_fails_by_name(bench):
    bench.write(
        '[steps.one]\npython = "work:largest"\nparams = { sizes = [1] }\n' + by_parts("square", each="x", rows='"one"'),
        work=DOUBLED,
    )
    outcome = bench.run()
    assert (outcome.status, outcome.failed) == ("failed", "work")
    assert "a value that is not a list has no parts" in outcome.failure.message


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        (by_parts("size").replace('each = "rows"', 'each = "row"'), "no input 'row'"),
        (by_parts("size").replace(str(BLOCK), "1000"), "part_rows"),
        (
            '[steps.split]\ninputs = { rows = "data:/n" }\neach = "rows"\nby = "time"\ncolumn = "t"\nvalidation = "2026-01-02"\ntest = "2026-01-03"\n',
            "cannot run on parts",
        ),
        (
            '[steps.join]\ninputs = { rows = "data:/n", other = "data:/n" }\nat = "t"\neach = "other"\n',
            "It can run on parts of 'rows'",
        ),
    ],
)
def test_what_cannot_be_run_by_parts_is_refused_before_anything_runs(bench, toml, complaint):
    bench.write(toml, work=DOUBLED)
    with pytest.raises(ConfigError) as caught:
        bench.run()
    assert complaint in f"{caught.value.message} {caught.value.hint}"


STREAMED = """
import resource, sys
import polars as pl
from pathlib import Path
from mlopsfw.project.facade import Project
pl.scan_parquet("x.parquet").select(pl.len()).collect()
project = Project.open(Path("."))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = project.values.store(pl.scan_parquet("x.parquet").with_columns(twice=pl.col("n") * 2))
print(found.meta["rows"], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.slow
@pytest.mark.disk
def test_a_lazy_frame_that_a_step_returns_is_written_as_it_is_computed(bench):
    rows = 40_000_000  # 640 MB when computed
    bench.write("\n")
    pl.LazyFrame().select(n=pl.int_range(rows)).sink_parquet(bench.root / "x.parquet", row_group_size=1 << 18)
    output = subprocess.check_output([sys.executable, "-c", STREAMED], cwd=bench.root, text=True)
    stored, grown = map(int, output.split())
    assert stored == rows
    assert grown < 300, "MB of memory"
