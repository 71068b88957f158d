"""The pipeline and its metrics beside kedro, dvc and MLflow: whole processes from start to exit, the same work asserted first.

The peers live in an environment of their own, named by its interpreter:

    python -m venv peers && peers/bin/pip install kedro dvc mlflow
    MLOPSFW_PEERS_PYTHON=peers/bin/python python -m pytest benchmarks/bench_pipeline.py -s -o addopts=--import-mode=importlib

Each figure is the best of a few runs, ours and theirs in turn. A peer's usage reports are switched off before it is run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PEERS = os.environ.get("MLOPSFW_PEERS_PYTHON", "")
QUIET = {
    "DO_NOT_TRACK": "1",
    "KEDRO_DISABLE_TELEMETRY": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
ENVIRONMENT = {**os.environ, **QUIET, "PYTHONDONTWRITEBYTECODE": ""}
METRICS = 10_000

needs_peers = pytest.mark.skipif(
    not PEERS, reason="MLOPSFW_PEERS_PYTHON names no interpreter; see the top of this file"
)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def best(work: Callable[[], object], prepare: Callable[[], object], rounds: int) -> float:
    """Return the least seconds of some rounds; `prepare` is not counted."""
    seconds = []
    for _ in range(rounds):
        prepare()
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


# -- three trivial steps -------------------------------------------------------------------------------------------------------

FUNCTIONS = "def one(): return 1\ndef two(x): return x + 1\ndef three(x, y): return [x, y]\n"


class Ours:
    name = "mlopsfw"

    def __init__(self, folder: Path) -> None:
        toml = '[project]\nname = "toy"\n[steps.one]\npython = "toy:one"\n[steps.two]\npython = "toy:two"\ninputs = { x = "one" }\n'
        toml += '[steps.three]\npython = "toy:three"\ninputs = { x = "two", y = "one" }\n'
        self.folder = write(folder, mlopsfw_dot_toml=toml, toy_dot_py=FUNCTIONS)
        self.command = [str(Path(sys.executable).with_name("mlopsfw")), "run"]

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
        view = json.loads(run([*self.command[:1], "run", "--json"], self.folder))
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
            src__toy__steps_dot_py=FUNCTIONS,
            conf__base__catalog_dot_yml=data,
            conf__local__credentials_dot_yml="",
        )
        (folder / "src/toy/__init__.py").write_text("")

    def go(self) -> str:
        return run([str(Path(PEERS).with_name("kedro")), "run"], self.folder)

    def change(self) -> None:
        """Nothing to do: kedro has no cache."""


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
        run([str(Path(PEERS).with_name("dvc")), "init", "-q"], folder)

    def go(self) -> str:
        return run([str(Path(PEERS).with_name("dvc")), "repro"], self.folder)

    def change(self) -> None:
        self.count = getattr(self, "count", 0) + 1
        for name, script in self.scripts.items():
            (self.folder / f"{name}.py").write_text(f"{script}  # {self.count}")

    def result(self) -> object:
        return json.loads((self.folder / "three.json").read_text()) == [2, 1]


def test_three_trivial_steps_from_start_to_exit(tmp_path):
    ours = Ours(tmp_path / "ours")
    seconds = best(ours.go, ours.change, 5)
    unchanged = best(ours.go, lambda: None, 5)
    assert ours.result()
    print(f"\nthree trivial steps: {seconds:.3f} s; unchanged: {unchanged:.3f} s")
    assert seconds <= 0.5
    assert unchanged <= 0.25


@needs_peers
@pytest.mark.parametrize(("peer", "cached"), [(Kedro, False), (Dvc, True)])
@pytest.mark.timeout(300)
def test_three_trivial_steps_beside_a_peer(tmp_path, peer, cached):
    ours, theirs = Ours(tmp_path / "ours"), peer(tmp_path / "theirs")
    mine, other = best(ours.go, ours.change, 4), best(theirs.go, theirs.change, 4)
    print(f"\nthree trivial steps: mlopsfw {mine:.3f} s, {theirs.name} {other:.3f} s: {other / mine:.1f}x")
    if cached:
        assert ours.result()
        assert theirs.result()
        mine, other = best(ours.go, lambda: None, 4), best(theirs.go, lambda: None, 4)
        print(f"unchanged: mlopsfw {mine:.3f} s, {theirs.name} {other:.3f} s: {other / mine:.1f}x")
    assert mine < other


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


def log_ours(project) -> float:
    from mlopsfw.metrics import start_run

    began = time.perf_counter()
    with start_run("bench", project=project) as opened:
        for step in range(METRICS):
            opened.log_metric("loss", step / 2, step)
    seconds = time.perf_counter() - began
    assert [m.number for m in project.runs.metrics(opened.id)] == [step / 2 for step in range(METRICS)]
    return seconds


@pytest.fixture
def project(tmp_path):
    from mlopsfw.project import Project

    write(tmp_path / "ours", mlopsfw_dot_toml='[project]\nname = "bench"\n')
    with Project.open(tmp_path / "ours") as opened:
        yield opened


def test_ten_thousand_metrics_are_durable_in_a_fifth_of_a_second(project):
    seconds = min(log_ours(project) for _ in range(3))
    print(f"\n{METRICS:,} log_metric, durable: {seconds:.3f} s")
    assert seconds <= 0.2


@needs_peers
@pytest.mark.timeout(600)
def test_metrics_beside_mlflows_sqlite_store(project, tmp_path):
    """MLflow logs a tenth as many, each of them the same cost, since all would take minutes."""
    ours = min(log_ours(project) for _ in range(3))
    theirs = 10 * float(run([PEERS, "-c", MLFLOW, str(METRICS // 10)], tmp_path).splitlines()[-1])
    print(f"\n{METRICS:,} log_metric: mlopsfw {ours:.3f} s, MLflow on SQLite {theirs:.1f} s: {theirs / ours:.0f}x")
    assert theirs / ours >= 50


def test_a_thousand_runs_begun_and_ended(project):
    from mlopsfw.metrics import start_run

    began = time.perf_counter()
    for _ in range(1000):
        with start_run("bench", project=project):
            pass
    seconds = time.perf_counter() - began
    print(f"\n1,000 runs begun and ended: {seconds:.2f} s")
    assert seconds <= 10  # the target of 5 s is for a quiet machine
