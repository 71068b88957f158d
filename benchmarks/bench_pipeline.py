"""The pipeline and its metrics beside kedro, dvc and MLflow: whole processes from start to exit, each seen to do the same work.

MLOPSFW_PEERS_PYTHON=peers/bin/python python -m pytest benchmarks/bench_pipeline.py --benchmark-only
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from process_peers import PEERS, clocked, measure, mlopsfw, needs_peers, peer, run

METRICS = 10_000


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


# -- three trivial steps -------------------------------------------------------------------------------------------------------

FUNCTIONS = "def one(): return 1\ndef two(x): return x + 1\ndef three(x, y): return [x, y]\n"


class Ours:
    name = "mlopsfw"

    def __init__(self, folder: Path) -> None:
        toml = '[project]\nname = "toy"\n[steps.one]\npython = "toy:one"\n[steps.two]\npython = "toy:two"\ninputs = { x = "one" }\n'
        toml += '[steps.three]\npython = "toy:three"\ninputs = { x = "two", y = "one" }\n'
        self.folder = write(folder, mlopsfw_dot_toml=toml, toy_dot_py=FUNCTIONS)
        self.command = mlopsfw("run")

    def go(self) -> str:
        return run(self.command, self.folder)

    def change(self) -> None:
        """Make every step run again: results of another code are other results."""
        file = self.folder / "toy.py"
        self.count = getattr(self, "count", 0) + 1
        file.write_text(
            f"N = {self.count}\n"
            + FUNCTIONS.replace("return 1", "return (N, 1)[1]")
            .replace("x + 1", "(N, x + 1)[1]")
            .replace("[x, y]", "(N, [x, y])[1]")
        )

    def result(self) -> object:
        view = json.loads(run([*self.command, "--json"], self.folder))
        return view["outputs"]["three"]["result"]["meta"]["bytes"] == len("[2,1]")


class Kedro:
    name = "kedro"

    def __init__(self, folder: Path) -> None:
        version = run([PEERS, "-c", "import kedro; print(kedro.__version__)"], Path.cwd()).strip()
        registry = "from kedro.pipeline import node, pipeline\nfrom toy.steps import one, two, three\n\n\ndef register_pipelines():\n"
        registry += "    return {'__default__': pipeline([node(one, None, 'a'), node(two, 'a', 'b'), node(three, ['b', 'a'], 'c')])}\n"
        data = "c:\n  type: kedro.io.MemoryDataset\n"
        self.folder = write(
            folder,
            pyproject_dot_toml=f'[tool.kedro]\npackage_name = "toy"\nproject_name = "toy"\nkedro_init_version = "{version}"\n',
            src__toy__settings_dot_py="",
            src__toy__pipeline_registry_dot_py=registry,
            src__toy__steps_dot_py=FUNCTIONS.replace("return [", "assert (x, y) == (2, 1); return ["),
            conf__base__catalog_dot_yml=data,
            conf__local__credentials_dot_yml="",
        )
        (folder / "src/toy/__init__.py").write_text("")

    def go(self) -> str:
        return run(peer("kedro", "run"), self.folder)

    def change(self) -> None:
        """Nothing to do: kedro has no cache."""

    def result(self) -> object:
        return True  # its third step asserts what it gets, since a value in memory ends with the process


class Dvc:
    name = "dvc"

    def __init__(self, folder: Path) -> None:
        stage = "  {name}:\n    cmd: {python} {name}.py\n    deps: [{deps}]\n    outs: [{name}.json]\n"
        stages = (("one", "one.py"), ("two", "two.py, one.json"), ("three", "three.py, two.json, one.json"))
        yaml = "stages:\n" + "".join(stage.format(name=n, deps=d, python=sys.executable) for n, d in stages)
        self.scripts = {
            "one": "import json; json.dump(1, open('one.json', 'w'))",
            "two": "import json; json.dump(json.load(open('one.json')) + 1, open('two.json', 'w'))",
            "three": "import json; json.dump([json.load(open('two.json')), json.load(open('one.json'))], open('three.json', 'w'))",
        }
        self.folder = write(folder, dvc_dot_yaml=yaml, **{f"{n}_dot_py": s for n, s in self.scripts.items()})
        run(["git", "init", "-q"], folder)
        run(peer("dvc", "init", "-q"), folder)

    def go(self) -> str:
        return run(peer("dvc", "repro"), self.folder)

    def change(self) -> None:
        self.count = getattr(self, "count", 0) + 1
        for name, script in self.scripts.items():
            (self.folder / f"{name}.py").write_text(f"{script}  # {self.count}")

    def result(self) -> object:
        return json.loads((self.folder / "three.json").read_text()) == [2, 1]


def test_three_trivial_steps_from_start_to_exit(benchmark, tmp_path):
    ours = Ours(tmp_path)
    measure(benchmark, ours.go, prepare=ours.change)
    assert ours.result()
    assert benchmark.stats.stats.min <= 0.5


def test_three_unchanged_steps_from_start_to_exit(benchmark, tmp_path):
    ours = Ours(tmp_path)
    measure(benchmark, ours.go)
    assert ours.result()
    assert benchmark.stats.stats.min <= 0.25


@needs_peers
@pytest.mark.parametrize("contender", [Kedro, Dvc])
@pytest.mark.timeout(300)
def test_three_trivial_steps_beside_a_peer(benchmark, tmp_path, contender):
    ours, theirs = Ours(tmp_path / "ours"), contender(tmp_path / "theirs")
    seconds = measure(benchmark, ours.go, {theirs.name: clocked(theirs.go, theirs.change)}, prepare=ours.change)
    assert ours.result()
    assert theirs.result()
    assert seconds["mlopsfw"] < seconds[theirs.name]


@needs_peers
@pytest.mark.timeout(300)
def test_three_unchanged_steps_beside_dvc(benchmark, tmp_path):
    """Kedro has no cache, so it does not take part."""
    ours, theirs = Ours(tmp_path / "ours"), Dvc(tmp_path / "theirs")
    theirs.change()
    seconds = measure(benchmark, ours.go, {theirs.name: clocked(theirs.go)})
    assert ours.result()
    assert theirs.result()
    assert seconds["mlopsfw"] < seconds[theirs.name]


# -- metrics -------------------------------------------------------------------------------------------------------------------

MLFLOW = """
import sys, time
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run():
    mlflow.log_metric("loss", 0.0, 0)
count = int(sys.argv[1])
began = time.perf_counter()
with mlflow.start_run() as run:
    for step in range(count):
        mlflow.log_metric("loss", step / 2, step)
seconds = time.perf_counter() - began
assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")) == count
print(seconds)
"""


def log_ours(project):
    from mlopsfw import start_run

    with start_run("bench", project=project) as opened:
        for step in range(METRICS):
            opened.log_metric("loss", step / 2, step)


def check_ours(project):
    """See that the newest run has every metric; reading is not what is timed."""
    newest = project.runs.ids()[0]
    assert [m.number for m in project.runs.metrics(newest)] == [step / 2 for step in range(METRICS)]


@pytest.fixture
def project(tmp_path):
    from mlopsfw.project.facade import Project

    write(tmp_path / "ours", mlopsfw_dot_toml='[project]\nname = "bench"\n')
    with Project.open(tmp_path / "ours") as opened:
        yield opened


def test_ten_thousand_metrics_are_durable_in_a_fifth_of_a_second(benchmark, project):
    measure(benchmark, lambda: log_ours(project))
    check_ours(project)
    assert benchmark.stats.stats.min <= 0.2


@needs_peers
@pytest.mark.timeout(600)
def test_metrics_beside_mlflows_sqlite_store(benchmark, project, tmp_path):
    """MLflow logs a tenth as many, each of them the same cost, since all would take minutes."""

    def theirs() -> float:
        return 10 * float(run([PEERS, "-c", MLFLOW, str(METRICS // 10)], tmp_path).splitlines()[-1])

    seconds = measure(benchmark, lambda: log_ours(project), {"MLflow on SQLite": theirs}, rounds=3)
    check_ours(project)
    assert seconds["MLflow on SQLite"] / seconds["mlopsfw"] >= 50


def test_a_thousand_runs_begun_and_ended(benchmark, project):
    from mlopsfw import start_run

    def begin_and_end():
        for _ in range(1000):
            with start_run("bench", project=project):
                pass

    benchmark.pedantic(begin_and_end, rounds=1)
    print(f"\n    1,000 runs begun and ended: {benchmark.stats.stats.min:.2f} s")
    assert benchmark.stats.stats.min <= 10  # the target of 5 s is for a quiet machine
