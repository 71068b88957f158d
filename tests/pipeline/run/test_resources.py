"""What a step asks its engine for: refused before the run where the engine has too little, and honoured where it has enough."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from mlopsfw.errors import ConfigError
from mlopsfw.roles import Resources
from mlopsfw_engine_local.room import Room

CORES = len(os.sched_getaffinity(0))
HEAD = '[engine.local]\nworkers = 2\n[steps.a]\npython = "steps:a"\n'
ASKED = """import os
import polars as pl
def a(context):
    asked = context.resources
    return [os.environ.get("OMP_NUM_THREADS"), pl.thread_pool_size(), asked.cpus, asked.processes, asked.memory]
"""


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ("{ cpus = 4096 }", rf"resources\.cpus: the step asks for cpus = 4096, .*'local' gets at most cpus = {CORES}"),
        (
            '{ memory = "900TiB" }',
            r"resources\.memory: the step asks for memory = 900TiB, .* gets at most memory = \d+B",
        ),
        ("{ processes = 4096 }", rf"resources\.processes: .* gets at most processes = {CORES}"),
        ("{ gpus = 64 }", r"resources\.gpus: .*asks for gpus = 64, .* gets at most gpus = \d"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "start", "resume"])
def test_a_step_that_asks_for_more_than_the_engine_can_ever_give_fails_before_anything_runs(
    bench, verb, resources, says
):
    bench.write(f"{HEAD}", steps="def a(): raise ValueError\n")
    if verb == "resume":
        bench.run()
    bench.write(f"{HEAD}resources = {resources}\n")
    with pytest.raises(ConfigError) as caught:
        bench.open().pipeline.plan() if verb == "plan" else bench.resume() if verb == "resume" else bench.run()
    assert re.search(rf"mlopsfw\.toml:\d+: steps\.a\.{says}", str(caught.value))
    assert "engine = " in caught.value.hint
    with bench.open() as project:
        assert len(project.runs.ids()) == (verb == "resume")


def test_nothing_of_a_step_that_asks_for_too_much_runs_not_even_what_is_before_it(bench):
    bench.write(
        '[steps.b]\npython = "steps:b"\n' + HEAD.partition("\n\n")[2] + '[steps.c]\npython = "steps:b"\nneeds = ["b"]\n'
        "resources = { cpus = 4096 }\n",
        steps="def b(): open('ran', 'w').close()\n",
    )
    command = [sys.executable, "-m", "mlopsfw", "--project", str(bench.root), "run", "--plan"]
    planned = subprocess.run(command, capture_output=True, text=True, check=False)
    assert planned.returncode == 2
    assert "steps.c.resources.cpus" in planned.stderr
    with pytest.raises(ConfigError):
        bench.run()
    assert not (bench.root / "ran").exists()
    assert bench.run(steps=("b",)).status == "done"


def test_where_no_device_is_a_step_without_gpus_runs_and_torch_is_not_imported(bench):
    bench.write(HEAD + "resources = { cpus = 1 }\n", steps="def a(): return 1\n")
    code = "import sys; from mlopsfw.cli import run; print(run(sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, "--project", str(bench.root), "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ("{ cpu = 2 }", r"steps\.a\.resources\.cpu: unknown key.*\n.*'cpus'"),
        ('{ memory = "4 gigs" }', r"steps\.a\.resources.*: memory is '4 gigs', not a size such as 4GiB"),
        ("{ cpus = -1 }", r"steps\.a\.resources\.cpus: expected `float` >= 0"),
        ("{ cpus = inf }", r"steps\.a\.resources\.cpus: inf is not a finite number"),
        ("{ cpus = nan }", r"steps\.a\.resources\.cpus"),
        ("{ gpus = 1.5 }", r"steps\.a\.resources.*: .*gpus = 1.5.* only whole devices"),
        ("{ processes = 0 }", r"steps\.a\.resources\.processes: expected `integer` >= 1"),
        ("4", r"steps\.a\.resources: expected `table`"),
    ],
)
def test_a_wrong_table_of_resources_is_an_error_with_its_key(bench, resources, says):
    with pytest.raises(ConfigError) as caught:
        bench.write(f"{HEAD}resources = {resources}\n", steps="def a(): return 1\n").open()
    assert re.search(says, f"{caught.value}\n{caught.value.hint}")


def test_the_nearest_name_of_an_unknown_key_is_one_of_its_own_table(bench):
    with pytest.raises(ConfigError) as caught:
        bench.write("[data.x.retention]\nkep = 1\n").open()
    assert "'keep'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("512B", 512),
        ("4GiB", 4 << 30),
        ("1.5 KiB", 1536),
        ("2MB", 2_000_000),
        ("3kB", 3000),
        ("1TiB", 1 << 40),
    ],
)
def test_a_size_is_a_number_of_bytes(text, size):
    assert Resources(memory=text).bytes == size


def test_the_libraries_of_a_worker_keep_to_the_cores_that_its_step_asks_for(bench):
    toml = '[engine.local]\nworkers = 2\n[steps.free]\npython = "steps:a"\n[steps.one]\npython = "steps:a"\nneeds = ["free"]\n'
    toml += 'resources = { cpus = 1, memory = "64MiB" }\n[steps.again]\npython = "steps:a"\nneeds = ["one"]\n'
    outcome = bench.write(toml, steps=ASKED).run()
    assert bench.value(outcome, "one") == ["1", 1, 1, 1, "64MiB"]
    free = bench.value(outcome, "free")
    assert (free[0], free[2:]) == (os.environ.get("OMP_NUM_THREADS"), [0, 1, ""])
    assert bench.value(outcome, "again") == free  # on a worker without the limit


@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_the_cores_of_a_step_are_shared_by_its_processes(bench):
    outcome = bench.write(f"{HEAD}resources = {{ cpus = 2, processes = 2 }}\n", steps=ASKED).run()
    assert bench.value(outcome, "a") == ["1", 1, 2, 2, ""]


def overlap(bench, outcome, *names):
    """Return whether any two of the steps, which return when they began and ended, ran at the same time."""
    spans = sorted(bench.value(outcome, name) for name in names)
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


SPAN = "import time\ndef a(n=0):\n    began = time.time()\n    time.sleep(0.4)\n    return [began, time.time()]\n"


@pytest.mark.parametrize(
    ("asked", "together"),
    [("", True), (f"resources = {{ cpus = {CORES} }}", False), (f"resources = {{ cpus = {CORES / 2} }}", True)],
    ids=["unsaid", "all cores", "half"],
)
def test_as_many_attempts_run_side_by_side_as_there_are_cores_for(bench, asked, together):
    toml = "[engine.local]\nworkers = 2\n"
    toml += "".join(f'[steps.{name}]\npython = "steps:a"\nparams = {{ n = {name} }}\n{asked}\n' for name in "123")
    outcome = bench.write(toml, steps=SPAN).run()
    assert overlap(bench, outcome, *"123") is together


def test_memory_counts_for_how_many_run_side_by_side(bench):
    total = Room(2).memory
    toml = "[engine.local]\nworkers = 2\n"
    toml += "".join(
        f'[steps.{name}]\npython = "steps:a"\nparams = {{ n = {name} }}\nresources = {{ memory = "{total // 3 * 2}B" }}\n'
        for name in "12"
    )
    assert overlap(bench, bench.write(toml, steps=SPAN).run(), *"12") is False


def test_a_step_that_waits_for_cores_has_not_started_so_that_its_time_limit_does_not_run(bench):
    toml = "[engine.local]\nworkers = 2\n"
    toml += "".join(
        f'[steps.{name}]\npython = "steps:a"\nparams = {{ n = {name} }}\ntimeout = 60\nresources = {{ cpus = {CORES} }}\n'
        for name in "123"
    )
    outcome = bench.write(toml, steps=SPAN).run()
    assert outcome.status == "done", outcome.failure
    assert bench.events(outcome.run)[1:-1] == ["step.started", "step.finished"] * 3


def test_parts_ask_for_what_their_step_asks_for(bench):
    toml = '[steps.list]\npython = "steps:rows"\n[steps.a]\npython = "steps:a"\ninputs = { n = "list" }\neach = "n"\n'
    toml += "resources = { cpus = 1 }\n"
    steps = "import os\ndef rows(): return [1, 2]\ndef a(n, context):\n    return [context.resources.cpus, os.environ['OMP_NUM_THREADS']]\n"
    outcome = bench.write(toml, steps=steps).run()
    assert bench.value(outcome, "a") == [[1, "1"], [1, "1"]]


def test_the_cache_key_does_not_change_with_the_resources(bench):
    bench.write(HEAD, steps="def a(): return 1\n").run()
    bench.write(HEAD + "resources = { cpus = 1 }\n").run()
    assert bench.ran() == []


def test_an_installed_step_can_ask_for_resources_and_an_option_of_the_command_line_changes_them(bench):
    bench.write('[steps.split]\nresources = { cpus = 1 }\ninputs = { rows = "data:/x" }\nby = "random"\n')
    with bench.open(overrides=("steps.split.resources.cpus=2",)) as project:
        assert project.config.steps["split"].resources == Resources(cpus=2)


SILENT = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw_engine_local.engine import LocalEngine
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass
class Silent:
    def __init__(self, options, host):
        self.inner = LocalEngine(workers=1, grace=1, folder=host.root)
        self.slots, self.submit, self.close = 1, self.inner.submit, self.inner.close
    CAPACITY
@hookimpl
def mlopsfw_engines(): yield Provider("silent", Options, Silent, "")
"""


def test_an_engine_that_says_nothing_of_resources_runs_steps_and_refuses_those_that_ask(bench, install_plugin):
    install_plugin(SILENT.replace("CAPACITY", ""), "engine.silent")
    toml = '[engine]\nuse = "silent"\n[steps.a]\npython = "steps:a"\n'
    assert bench.write(toml, steps="def a(): return 1\n").run().status == "done"
    with pytest.raises(ConfigError, match="'silent' gets at most cpus = 0"):
        bench.write(toml + "resources = { cpus = 1 }\n").run()


def test_an_engine_whose_capacity_is_no_record_is_named(bench, install_plugin):
    install_plugin(SILENT.replace("CAPACITY", "def capacity(self, asked): return {'cpus': 3}"), "engine.silent")
    bench.write(
        '[engine]\nuse = "silent"\n[steps.a]\npython = "steps:a"\nresources = { cpus = 1 }\n',
        steps="def a(): return 1\n",
    )
    command = [sys.executable, "-m", "mlopsfw", "--project", str(bench.root), "run", "--plan", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "a dict instead of Resources" in done.stderr
    assert "engine.silent" in done.stderr
    assert not done.stdout or json.loads(done.stdout)


@pytest.mark.parametrize("abilities", ["('kills',)", "'kill'", "None"])
def test_an_engine_that_names_an_ability_that_there_is_not_is_named(bench, install_plugin, abilities):
    install_plugin(SILENT.replace("CAPACITY", f"abilities = {abilities}"), "engine.silent")
    bench.write('[engine]\nuse = "silent"\n[steps.a]\npython = "steps:a"\ntimeout = 60\n', steps="def a(): return 1\n")
    command = [sys.executable, "-m", "mlopsfw", "--project", str(bench.root), "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "its abilities is" in done.stderr
    assert "engine.silent" in done.stderr
