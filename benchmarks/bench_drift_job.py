"""The drift job beside Evidently's DataDriftPreset and NannyML's univariate drift, on the same files; and the command, start to exit.

The peers live in environments of their own (README.md says how to install them) and time their report alone, files read and libraries
imported before; ours is timed the same way, in this process, before and after them. Where the preset gives Evidently's statistic, its
values and verdicts are asserted to be Evidently's first. MLOPSFW_BENCH_LARGE=1 adds 1,000,000 rows × 60 columns: minutes of Evidently.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import pytest

from mlopsfw_core import compare_as_evidently, compare_samples

sys.path.insert(0, str(Path(__file__).parent))
from core_peers import best_of
from process_peers import ENVIRONMENT, measure, mlopsfw, run

PYTHONS = {"evidently": "MLOPSFW_EVIDENTLY_PYTHON", "nannyml": "MLOPSFW_NANNYML_PYTHON"}
STATISTICS = {
    "Wasserstein distance (normed)": "wasserstein",
    "Jensen-Shannon distance": "jensenshannon",
    "K-S p_value": "ks",
    "chi-square p_value": "chisquare",
    "Z-test p_value": "z",
}
LARGE = pytest.mark.skipif(not os.environ.get("MLOPSFW_BENCH_LARGE"), reason="MLOPSFW_BENCH_LARGE is not set: minutes")
SHAPES = [
    pytest.param((100_000, 20, 5), {"evidently": 60, "nannyml": 15}, id="100k-25"),
    pytest.param((1_000_000, 50, 10), {"evidently": 200, "nannyml": 20}, id="1M-60", marks=LARGE),
]


def frame(seed: int, shape: tuple[int, int, int], shift: float = 0.0) -> pl.DataFrame:
    """Normal columns, of which one moves, and columns of forty categories."""
    rows, numbers, texts = shape
    rng = np.random.default_rng(seed)
    names = np.array([f"category {number}" for number in range(40)])
    columns = {f"n{i:02}": rng.normal(shift if i == 3 else 0.0, 1, rows) for i in range(numbers)}
    return pl.DataFrame(columns | {f"c{i}": names[rng.integers(0, 40, rows)] for i in range(texts)})


def mixed(rows: int, shift: float) -> pl.DataFrame:
    """A column for each of Evidently's choices."""
    rng = np.random.default_rng(rows + round(100 * shift))
    shares = [0.4 + shift / 4, 0.3 - shift / 4, 0.2, 0.1]
    return pl.DataFrame(
        {
            "x": rng.normal(shift, 1, rows),
            "gamma": rng.gamma(2, 1 + shift, rows),
            "few": rng.integers(0, 4, rows),
            "two": (rng.random(rows) < 0.4 + shift / 3).astype(int),
            "kind": rng.choice(["a", "b", "c", "d"], rows, p=shares),
            "yes": rng.choice(["n", "y"], rows, p=[0.5 - shift / 3, 0.5 + shift / 3]),
        }
    )


def peer(name: str, folder: Path, before: pl.DataFrame, after: pl.DataFrame) -> dict:
    """Run a peer's report on two tables; return what it printed."""
    python = os.environ.get(PYTHONS[name])
    if not python:
        pytest.skip(f"{PYTHONS[name]} names no interpreter; see benchmarks/README.md")
    files = folder / "reference.parquet", folder / "current.parquet"
    for table, file in zip((before, after), files, strict=True):
        table.write_parquet(file)
    script = Path(__file__).with_name("drift_peers.py")
    command = [python, "-W", "ignore", str(script), name, *map(str, files)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_evidentlys(ours, theirs) -> None:
    """Same statistic; same value and verdict too, but for chi-squared, where Evidently takes the reference as exact."""
    said = {column["column"]: column for column in theirs["columns"]}
    for one in ours:
        other = said[one.column]
        assert one.statistic == STATISTICS[other["statistic"]], one.column
        assert one.threshold == other["threshold"]
        if one.statistic != "chisquare":
            assert one.value == pytest.approx(other["value"], rel=1e-6, abs=1e-9), one.column
            assert one.drifted == other["drifted"], one.column


@pytest.mark.parametrize("sizes", [(500, 800), (5000, 3000)])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_preset_gives_evidentlys_answers(benchmark, tmp_path, sizes, shift):
    before, after = mixed(sizes[0], 0.0), mixed(sizes[1], shift)
    assert_evidentlys(compare_as_evidently(before, after), peer("evidently", tmp_path, before, after))
    benchmark.pedantic(lambda: compare_as_evidently(before, after), rounds=5)


@pytest.mark.parametrize(("shape", "wanted"), SHAPES)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", list(PYTHONS))
def test_report(benchmark, tmp_path, name, shape, wanted):
    before, after = frame(1, shape), frame(2, shape, 0.3)
    sides = [{column.name: column for column in table} for table in (before, after)]
    ours = {"our rule": lambda: compare_samples(*sides), "preset": lambda: compare_as_evidently(*sides)}
    times = {rule: [best_of(work) for _ in range(4)] for rule, work in ours.items()}
    said = peer(name, tmp_path, before, after)
    if name == "evidently":
        assert_evidentlys(ours["preset"](), said)
    for rule, work in ours.items():
        times[rule] += [best_of(work) for _ in range(3)]
    assert [one.column for one in ours["our rule"]() if one.drifted] == ["n03"]
    benchmark.pedantic(ours["our rule"], rounds=3)
    seconds = {rule: median(seen) for rule, seen in times.items()}
    ratios = {rule: round(said["seconds"] / value, 1) for rule, value in seconds.items()}
    benchmark.extra_info.update(peer=name, peer_seconds=said["seconds"], seconds=seconds, ratios=ratios)
    shown = ", ".join(f"{rule} {seconds[rule]:.3f} s: {ratio} x" for rule, ratio in ratios.items())
    print(
        f"\n    {benchmark.name}: {name} {said['version']} {said['seconds']:.1f} s; {shown} (target {wanted[name]} x)"
    )


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_command_of_100k_rows_by_25_columns(benchmark, tmp_path, kind):
    for name, table in (("a", frame(1, (100_000, 20, 5))), ("b", frame(2, (100_000, 20, 5), 0.3))):
        {"parquet": table.write_parquet, "csv": table.write_csv}[kind](tmp_path / f"{name}.{kind}")
    measure(benchmark, lambda: run(mlopsfw("drift", f"a.{kind}", f"b.{kind}"), tmp_path))
