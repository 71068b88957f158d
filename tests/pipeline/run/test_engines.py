"""Engines by name: each step goes to its own, which counts its own slots, and all of them are closed at the end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from mlopsfw.errors import ConfigError

NOTING = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw_engine_local.engine import LocalEngine
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    workers: int = 2
    broken: bool = False
class Noting(LocalEngine):
    def __init__(self, options, host):
        if options.broken: raise OSError("no cluster answers")
        super().__init__(workers=options.workers, grace=0.2, folder=host.root)
        self.log = host.private_folder() / "log"
    def note(self, text):
        with self.log.open("a") as log: log.write(text + chr(10))
    def submit(self, spec):
        self.note(f"{spec.step} joins" if spec.joins else spec.step)
        return super().submit(spec)
    def close(self):
        self.note("closed")
        super().close()
@hookimpl
def mlopsfw_engines(): yield Provider("noting", Options, Noting, "")
"""
TWO = '[engine]\nuse = "near"\n[engine.near]\nuse = "noting"\n[engine.far]\nuse = "noting"\n'
CHAIN = """
[steps.one]
python = "steps:one"
[steps.two]
python = "steps:two"
inputs = { x = "one" }
engine = "far"
[steps.three]
python = "steps:three"
inputs = { x = "two" }
"""
STEPS = "def one(): return [1, 2, 3]\ndef two(x): return x\ndef three(x): return x\n"


@pytest.fixture
def two(bench, install_plugin):
    """A bench with two engines that note what they are given."""
    install_plugin(NOTING, "engine.noting")
    return bench.write(TWO + CHAIN, steps=STEPS)


def noted(bench, engine: str) -> list[str]:
    file = bench.root / ".mlopsfw" / "plugins" / f"engine.{engine}" / "log"
    return file.read_text().splitlines() if file.exists() else []


def cli(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlopsfw", "--project", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_each_step_goes_to_its_own_engine_and_values_cross_by_the_store(two):
    outcome = two.run()
    assert two.value(outcome, "three") == [1, 2, 3]
    assert noted(two, "near") == ["one", "three", "closed"]
    assert noted(two, "far") == ["two", "closed"]


def test_the_parts_and_the_join_of_a_step_go_to_its_engine(two):
    two.edit("mlopsfw.toml", 'engine = "far"', 'engine = "far"\neach = "x"')
    outcome = two.run()
    assert two.value(outcome, "three") == [1, 2, 3]
    assert Counter(noted(two, "far")) == Counter(["two[0]", "two[1]", "two[2]", "two joins", "closed"])
    assert noted(two, "near") == ["one", "three", "closed"]


def test_both_engines_are_closed_when_a_step_fails(two):
    two.edit("steps.py", "def two(x): return x", "def two(x): raise ValueError(x)")
    assert two.run().failed == "two"
    assert (noted(two, "near"), noted(two, "far")) == (["one", "closed"], ["two", "closed"])


def test_the_others_are_closed_when_one_engine_cannot_be_built(two):
    two.edit("mlopsfw.toml", '[engine.far]\nuse = "noting"', '[engine.far]\nuse = "noting"\nbroken = true')
    done = cli(two.root, "run")
    assert done.returncode == 5
    assert "no cluster answers" in done.stderr
    assert "raised by plugin 'engine.noting'" in done.stderr
    assert noted(two, "near") == ["one", "closed"]


def test_both_engines_are_closed_at_ctrl_c_and_resume_keeps_to_them(two):
    slow = "import pathlib, time\ndef wait(name):\n    pathlib.Path(name).touch()\n    if not pathlib.Path('go').exists(): time.sleep(60)\n    return name\n"
    two.write(
        TWO + '[steps.a]\npython = "steps:a"\n[steps.b]\npython = "steps:b"\n',
        steps=slow + "def a(): return wait('a')\ndef b(): return wait('b')\n",
    )
    command = [sys.executable, "-m", "mlopsfw", "--project", str(two.root), "run", "--set", "steps.b.engine=far"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not all((two.root / name).exists() for name in "ab"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert (noted(two, "near"), noted(two, "far")) == (["a", "closed"], ["b", "closed"])
    assert len(workers) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    (two.root / "go").touch()
    assert cli(two.root, "resume").returncode == 0
    assert (noted(two, "near"), noted(two, "far")) == (["a", "closed"] * 2, ["b", "closed"] * 2)


def test_slots_are_counted_for_each_engine(two):
    one_at_a_time = "import os, pathlib, time\ndef alone(lock):\n    os.mkdir(lock); time.sleep(.05); os.rmdir(lock)\n"
    meet = "def meet(me, other):\n    pathlib.Path(me).touch()\n    for _ in range(500):\n        if pathlib.Path(other).exists(): return True\n        time.sleep(.01)\n    raise TimeoutError(other)\n"
    steps = "".join(
        f'[steps.{engine}-{number}]\npython = "steps:{engine}"\nengine = "{engine}"\n'
        for engine in ("near", "far")
        for number in (1, 2)
    )
    toml = TWO.replace('use = "noting"', 'use = "noting"\nworkers = 1') + steps
    near = "def near():\n    alone('lock-near'); return meet('n', 'f')\n"
    outcome = two.write(
        toml, steps=one_at_a_time + meet + near + near.replace("near", "far").replace("'n', 'f'", "'f', 'n'")
    ).run()
    assert outcome.status == "done", outcome.failure


def test_the_cache_key_does_not_change_with_the_engine(two):
    two.run()
    two.edit("mlopsfw.toml", 'engine = "far"', 'engine = "near"')
    two.run()
    assert two.ran() == []


def test_plan_status_and_runs_show_say_which_engine(two):
    wanted = {"one": "near", "two": "far", "three": "near"}
    planned = json.loads(cli(two.root, "run", "--plan", "--json").stdout)
    assert {each["step"]: each["engine"] for each in planned} == wanted
    lines = cli(two.root, "run", "--plan").stdout.splitlines()[1:]
    assert [line.split()[2] for line in lines] == ["near", "far", "near"]
    two.run()
    status = json.loads(cli(two.root, "status", "--json").stdout)["steps"]
    assert {name: step["engine"] for name, step in status.items()} == wanted
    assert [line.split()[4] for line in cli(two.root, "status").stdout.splitlines()[2:]] == ["near", "far", "near"]
    shown = json.loads(cli(two.root, "runs", "show", "latest", "--json").stdout)["steps"]
    assert {name: step["engine"] for name, step in shown.items()} == wanted
    rows = cli(two.root, "runs", "show", "latest").stdout.splitlines()
    assert [row.split()[2] for row in rows if " done " in row] == ["near", "far", "near"]


def test_a_cached_step_has_no_engine_and_a_debugged_one_neither(two):
    two.run()
    two.run()
    with two.open() as project:
        assert {step.engine for step in project.runs.get("latest").steps.values()} == {""}
    two.run(debug=True, force=True)
    with two.open() as project:
        assert {step.engine for step in project.runs.get("latest").steps.values()} == {""}
    assert noted(two, "near") == ["one", "three", "closed"]


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (
            TWO + CHAIN.replace('"far"', '"fra"'),
            r"mlopsfw\.toml:\d+: steps\.two\.engine: no engine is called 'fra'.*\n.*'far'",
        ),
        (TWO.partition("\n[engine.near]")[2].replace("\nuse", "[engine.near]\nuse", 1) + CHAIN, "none of near, far is"),
        (TWO + '[engine.idle]\nuse = "noting"\nwrokers = 1\n' + CHAIN, r"engine\.idle\.wrokers: unknown key"),
        (TWO + '[engine.idle]\nuse = "notin"\n' + CHAIN, r"engine\.idle\.use: no installed engine is called 'notin'"),
    ],
    ids=["unknown", "no default", "a wrong option", "a wrong kind"],
)
@pytest.mark.parametrize("verb", ["plan", "start"])
def test_a_wrong_engine_is_an_error_before_anything_runs(two, toml, says, verb):
    two.write(toml)
    with pytest.raises(ConfigError) as caught:
        two.run() if verb == "start" else two.open().pipeline.plan()
    assert re.search(says, f"{caught.value}\n{caught.value.hint}")
    assert not (two.root / ".mlopsfw" / "runs").exists()


def test_the_only_engine_that_has_a_name_is_the_default(two):
    two.write('[engine.far]\nuse = "noting"\n' + CHAIN)
    assert two.run().status == "done"
    assert noted(two, "far") == ["one", "two", "three", "closed"]


def test_an_environment_sends_a_step_to_another_engine(two):
    two.write(TWO + CHAIN.replace('engine = "far"\n', "") + '[env.prod.steps.two]\nengine = "far"\n')
    with two.open(env="prod") as project:
        assert [(item.step, item.engine) for item in project.pipeline.plan()][1] == ("two", "far")
