"""`mlopsfw reproduce`: code, configuration and data as they were, in a folder of its own, compared step by step."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from mlopsfw.cli import run as mlopsfw
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.config.model import Retention
from mlopsfw.pipeline.run.display import Display
from mlopsfw.project.reproduce import reproduce

TOML = """
[steps.rows]
use = "ingest"
params = { dataset = "rows", path = "rows.csv" }
[steps.double]
python = "steps:double"
inputs = { rows = "rows" }
params = { factor = 2 }
[steps.total]
python = "steps:total"
inputs = { rows = "double" }
"""
STEPS = """
import polars as pl
def double(rows: pl.DataFrame, factor):
    return rows.with_columns(pl.col("x") * factor)
def total(rows: pl.DataFrame):
    return {"total": float(rows["x"].sum())}
"""


def git(folder, *words: str) -> str:
    identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def committed(bench) -> None:
    git(bench.root, "init", "-q")
    git(bench.root, "add", ".")
    git(bench.root, "commit", "-q", "-m", "begin")


@pytest.fixture
def history(bench):
    """A project in git whose rows and code have changed since its first run, which had an uncommitted change."""
    bench.write(TOML, {"rows.csv": "x\n1.5\n2\n", ".gitignore": ".mlopsfw/\n"}, steps=STEPS)
    committed(bench)
    bench.edit("steps.py", "* factor", "* factor + 1")
    return bench


def again(bench, run: str, tolerance: float = 1e-6, *, debug: bool = True):
    with bench.open() as project:
        return reproduce(project, run, tolerance, lambda each: Display(each.workspace, None), debug=debug)


def verdicts(result) -> dict[str, str]:
    return {each.step: each.verdict for each in result.steps}


def test_a_run_is_reproduced_with_its_data_code_and_overrides_though_all_of_them_changed_since(history):
    first = history.run(overrides=("steps.double.params.factor=3",), debug=True)
    history.edit("steps.py", "* factor + 1", "* factor - 1")
    (history.root / "rows.csv").write_text("x\n100\n")
    history.run(debug=True)
    before = git(history.root, "status", "--short")
    result = again(history, first.run, debug=False)  # the workers read the restored code, too
    assert (result.status, result.exit_code, result.code) == ("equal", 0, "commit")
    assert verdicts(result) == {"rows": "taken", "double": "equal", "total": "equal"}
    assert git(history.root, "status", "--short") == before
    assert list((history.root / ".mlopsfw" / "scratch").iterdir()) == []


def test_a_reproduction_is_a_run_that_names_its_origin_and_leaves_the_cache_alone(history, capsys):
    first = history.run(debug=True)
    result = again(history, first.run)
    assert history.ran(result.run) == ["double", "total"]
    assert history.ran(history.run(debug=True).run) == []
    with history.open() as project:
        assert project.runs.get(result.run).verdicts == {"rows": "taken", "double": "equal", "total": "equal"}
        edges = {(edge.source, edge.how, edge.target) for edge in project.lineage.walk(f"runs:/{first.run}").down}
        assert project.datasets.resolve("data:/rows").version == 1
    assert (f"runs:/{first.run}", "reproduced by", f"runs:/{result.run}") in edges
    assert mlopsfw(["--project", str(history.root), "runs", "show", result.run]) == 0
    assert f"reproduces {first.run}: rows taken, double equal, total equal" in capsys.readouterr().out


def test_numbers_that_differ_by_less_than_the_tolerance_are_within_it(bench):
    source = "import os, pathlib\ndef a():\n    p = pathlib.Path({!r}); n = len(p.read_text())\n    p.write_text('.' * (n + 1))\n    return {{'loss': 0.5 + n * 1e-9}}\n"
    bench.write('[steps.a]\npython = "a:a"\n', a=source.format(str(bench.root.parent / "count")))
    (bench.root.parent / "count").write_text("")
    first = bench.run(debug=True)
    assert (again(bench, first.run).status, again(bench, first.run, 0.0).status) == ("within", "parted")


def test_where_results_part_the_first_step_and_the_reason_are_named(bench, monkeypatch):
    source = "import os\ndef a():\n    return os.environ['LEVEL']\ndef b(x):\n    return x\n"
    toml = '[steps.a]\npython = "a:a"\nenv = ["LEVEL"]\n[steps.b]\npython = "a:b"\ninputs = { x = "a" }\n'
    monkeypatch.setenv("LEVEL", "1")
    first = bench.write(toml, a=source).run(debug=True)
    monkeypatch.setenv("LEVEL", "2")
    result = again(bench, first.run)
    assert (result.status, result.first, result.exit_code) == ("parted", "a", 1)
    assert result.steps[0].why == ("result: the value differs", "env LEVEL: changed")
    assert result.steps[1].why[1].startswith("input x: its content changed")


def test_without_git_the_folder_is_used_while_its_code_is_the_same_and_refused_after(bench, capsys):
    bench.write('[steps.a]\npython = "a:a"\n', a="def a(): return 1\n")
    first = bench.run(debug=True)
    result = again(bench, first.run)
    assert (result.status, result.code) == ("equal", "folder")
    assert "recorded no commit" in result.note
    bench.edit("a.py", "1", "2")
    assert mlopsfw(["--project", str(bench.root), "reproduce", first.run]) == 2
    assert "the code of a in" in capsys.readouterr().err
    (bench.root / "a.py").rename(bench.root / "b.py")
    assert mlopsfw(["--project", str(bench.root), "reproduce", first.run]) == 2
    assert "the code of a in" in capsys.readouterr().err


def test_erased_data_is_named_and_nothing_runs(history):
    first = history.run(debug=True)
    (history.root / "rows.csv").write_text("x\n7\n")
    history.run(debug=True)
    with history.open() as project:
        project.version_removal.vacuum("rows", Retention(), force=True)
        runs = project.runs.ids()
    result = again(history, first.run)
    assert (result.status, result.first, result.run) == ("parted", "rows", "")
    assert "data:/rows@1" in result.steps[0].why[0]
    with history.open() as project:
        assert project.runs.ids() == runs


def test_a_file_that_git_does_not_have_is_copied_while_it_is_as_it_was(bench):
    bench.write(
        '[steps.a]\npython = "a:a"\nreads = ["big.txt"]\n',
        {"big.txt": "1", ".gitignore": "big.txt\n.mlopsfw\n"},
        a="import pathlib\ndef a(): return pathlib.Path('big.txt').read_text()\n",
    )
    committed(bench)
    first = bench.run(debug=True)
    assert again(bench, first.run).status == "equal"
    (bench.root / "big.txt").write_text("2")
    result = again(bench, first.run)
    assert (result.status, result.note) == ("parted", "no longer here as they were: big.txt")


def test_a_failing_step_is_where_it_parted_and_later_steps_are_not_run(bench):
    body = "import pathlib\ndef a():\n    return pathlib.Path({!r}).read_text()\ndef b(x): return x\n"
    toml = '[steps.a]\npython = "a:a"\n[steps.b]\npython = "a:b"\ninputs = { x = "a" }\n'
    place = bench.root.parent / "there"
    place.write_text("1")
    first = bench.write(toml, a=body.format(str(place))).run(debug=True)
    place.unlink()
    result = again(bench, first.run, debug=False)
    assert verdicts(result) == {"a": "failed", "b": "not run"}
    assert result.steps[0].why[0].startswith("FileNotFoundError")
    with pytest.raises(UsageError, match="reproduced another"):
        bench.resume(result.run)


def test_a_scripts_run_cannot_be_reproduced(bench, capsys):
    from mlopsfw import start_run

    bench.write("\n")
    with start_run("notebook", project=bench.root) as run:
        pass
    assert mlopsfw(["--project", str(bench.root), "reproduce", run.id]) == 2
    assert "logged by a script" in capsys.readouterr().err


def test_the_verb_prints_one_document_as_json(history, capsys):
    first = history.run(debug=True)
    capsys.readouterr()
    assert mlopsfw(["--project", str(history.root), "reproduce", first.run, "--debug", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["origin"], printed["status"], printed["first"]) == (first.run, "equal", "")


def test_ctrl_c_leaves_no_folder_and_nothing_to_resume(bench, monkeypatch):
    source = (
        "import os, signal\ndef a():\n    if 'STOP' in os.environ: os.kill(os.getpid(), signal.SIGINT)\n    return 1\n"
    )
    first = bench.write('[steps.a]\npython = "a:a"\n', a=source).run(debug=True)
    monkeypatch.setenv("STOP", "1")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    try:
        assert mlopsfw(["--project", str(bench.root), "reproduce", first.run, "--debug"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert list((bench.root / ".mlopsfw" / "scratch").iterdir()) == []
    assert mlopsfw(["--project", str(bench.root), "resume"]) == 2


OWN = """
from collections.abc import Iterable
import msgspec
from mlopsfw.roles import Provider, Step, hookimpl
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass
def run(context):
    return {"result": 1}
@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    yield Provider("constant", Options, lambda options, host: Step(run=run), "One")
"""


def test_a_project_below_the_top_with_plugins_of_its_own_and_steps_by_parts_is_reproduced(bench):
    toml = '[plugins]\nmodules = ["own"]\n[steps.one]\nuse = "constant"\n[steps.many]\npython = "a:many"\ninputs = { first = "one" }\n'
    toml += '[steps.each]\npython = "a:each"\ninputs = { x = "many" }\neach = "x"\n'
    source = "def many(first): return [first, 2, 3]\ndef each(x): return x * 10\n"
    bench.write(toml, {".gitignore": ".mlopsfw/\n"}, own=OWN, a=source)
    git(bench.root.parent, "init", "-q")
    git(bench.root.parent, "add", "bench")
    git(bench.root.parent, "commit", "-q", "-m", "begin")
    first = bench.run(debug=True)
    bench.edit("own.py", '"result": 1', '"result": 7')
    bench.edit("a.py", "* 10", "* 20")
    result = again(bench, first.run)
    assert (result.status, result.code) == ("equal", "commit")
    assert verdicts(result) == {"one": "equal", "many": "equal", "each": "equal"}
    assert bench.value(bench.run(debug=True), "each") == [140, 40, 60]


TIMED = """
[trainer]
use = "lightgbm"
[trainer.lightgbm]
num_iterations = 3
num_threads = 1
[steps.rows]
python = "made:rows"
[steps.train]
inputs = { train = "rows" }
task = "binary"
target = "y"
[steps.evaluate]
inputs = { model = "train", rows = "rows" }
latency = 3
[steps.gate]
inputs = { metrics = "evaluate" }
rules = ["latency.p99_ms < 60000", "auc > 0.5"]
"""


def test_what_times_the_machine_is_not_compared(bench):
    rows = (
        "import polars as pl\ndef rows(): return pl.DataFrame({'x': range(200), 'y': [at > 99 for at in range(200)]})\n"
    )
    first = bench.write(TIMED, made=rows).run(debug=True)
    result = again(bench, first.run, 0.0)
    assert (result.exit_code, verdicts(result)["evaluate"], verdicts(result)["gate"]) == (0, "within", "within"), result
    assert bench.run(certify=True, debug=True).different == []


def test_how_long_a_trial_takes_to_score_a_row_is_not_compared(bench):
    rows = "import polars as pl\ndef rows(): return pl.DataFrame({'x': range(90), 'y': [at % 7 > 2 for at in range(90)]})\n"
    search = """
[trainer.small]
use = "lightgbm"
num_iterations = 2
[steps.rows]
python = "made:rows"
[steps.fit]
use = "train"
trainer = "small"
inputs = { train = "rows" }
task = "binary"
target = "y"
tune = { trials = 1, folds = { folds = 2 }, limits = { row_ms = 60000.0 } }
"""
    first = bench.write(search, made=rows).run(debug=True)
    result = again(bench, first.run, 0.0)
    assert (result.exit_code, verdicts(result)["fit"]) == (0, "within"), result
