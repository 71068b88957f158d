"""The coordinator: order, branches, retries, time limits, failures, interruption, resumption, several at once."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlopsfw.kernel.base.errors import ConfigError, Conflict, DataError, Fenced, UsageError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.roles.engine import Failure
from mlopsfw.pipeline.run.display import Display
from mlopsfw.pipeline.run.events import RunFinished, RunStarted
from mlopsfw.pipeline.run.retry import pause_before
from mlopsfw.pipeline.run.runner import Options
from mlopsfw.pipeline.run.step_events import StepStarted

CHAIN = """
[steps.one]
python = "steps:one"
[steps.two]
python = "steps:two"
inputs = { x = "one" }
[steps.three]
python = "steps:three"
inputs = { x = "two", y = "one" }
"""
STEPS = """
def one(): return 1
def two(x): return x + 1
def three(x, y): return [x, y]
"""


def cli(root: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlopsfw", "--project", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def test_values_travel_from_step_to_step(bench):
    outcome = bench.write(CHAIN, steps=STEPS).run()
    assert (outcome.status, outcome.exit_code) == ("done", 0)
    assert bench.value(outcome, "three") == [2, 1]


def test_a_runs_events_tell_it_in_order(bench):
    outcome = bench.write(CHAIN, steps=STEPS).run()
    assert bench.events(outcome.run) == ["run.started", *["step.started", "step.finished"] * 3, "run.finished"]
    again = bench.run()
    assert bench.events(again.run) == ["run.started", *["step.cached"] * 3, "run.finished"]


def test_an_unchanged_pipeline_runs_nothing_and_starts_no_worker(bench):
    bench.write(CHAIN, steps=STEPS).run()
    with bench.open() as project:
        from mlopsfw.pipeline.run.display import Display

        project.pipeline.start(Display(project.workspace, None))
        assert project.providers._engines == {}


def test_independent_branches_run_side_by_side(bench):
    toml = "".join(f'[steps.{name}]\npython = "steps:{name}"\n' for name in ("a", "b"))
    meet = "import pathlib, time\ndef meet(me, other):\n    pathlib.Path(me).touch()\n    for _ in range(500):\n"
    meet += (
        "        if pathlib.Path(other).exists(): return True\n        time.sleep(.01)\n    raise TimeoutError(other)\n"
    )
    bench.write(
        f"[engine.local]\nworkers = 2\n{toml}",
        steps=f"{meet}def a(): return meet('a', 'b')\ndef b(): return meet('b', 'a')\n",
    )
    assert bench.run().status == "done"


def test_one_worker_runs_one_step_at_a_time(bench):
    toml = "".join(f'[steps.{name}]\npython = "steps:alone"\n' for name in ("a", "b", "c"))
    body = "import os, time\ndef alone():\n    os.mkdir('lock'); time.sleep(.02); os.rmdir('lock')\n    return os.getpid()\n"
    outcome = bench.write(f"[engine.local]\nworkers = 1\n{toml}", steps=body).run()
    assert len({bench.value(outcome, name) for name in "abc"}) == 1  # and the process is used again


def test_a_step_that_fails_stops_what_follows_and_says_where(bench):
    bench.write(CHAIN, steps=STEPS.replace("x + 1", "helper(x)") + "def helper(x):\n    raise ValueError('too bad')\n")
    outcome = bench.run()
    assert (outcome.status, outcome.exit_code, outcome.failed) == ("failed", 1, "two")
    assert outcome.failure.type == "ValueError"
    assert outcome.failure.message.splitlines()[:3] == [
        "too bad",
        "at steps.py:6 in helper: raise ValueError('too bad')",
        "at steps.py:3 in two: def two(x): return helper(x)",
    ]
    assert "three" not in outcome.outputs


def test_resume_goes_on_at_the_failed_step_once_it_is_corrected(bench):
    bench.write(CHAIN, steps=STEPS.replace("x + 1", "x + None"))
    failed = bench.run()
    bench.edit("steps.py", "x + None", "x + 1")
    outcome = bench.resume()
    assert (outcome.run, outcome.status) == (failed.run, "done")
    assert bench.events(outcome.run).count("step.started") == 4  # one, two twice, three
    with pytest.raises(UsageError, match="nothing to resume"):
        bench.resume(outcome.run)


def test_a_resumed_run_keeps_what_its_steps_logged_before_and_drops_the_traceback_of_what_then_succeeds(bench):
    says = "def one():\n    import mlopsfw\n    mlopsfw.log_metric('loss', 2.0)\n    print('made one')\n    return 1\n"
    bench.write(CHAIN, steps=STEPS.replace("def one(): return 1", says).replace("x + 1", "x + None"))
    bench.run()
    bench.edit("steps.py", "x + None", "x + 1")
    shown = io.StringIO()
    with bench.open() as project:
        run = project.pipeline.resume(Display(project.workspace, shown), project.runs.get("latest")).run
    assert re.search(r"✓ one +in an earlier session\n", shown.getvalue())
    with bench.open() as project:
        view = project.runs.get(run)
        assert (view.steps["one"].status, view.metrics) == ("done", {"one.loss": 2.0})
        assert view.steps["one"].seconds > 0
        assert project.runs.log(run, "one") == "made one\n"
        assert project.runs.log(run, "two") == ""


def test_the_index_says_of_steps_what_the_run_itself_says(bench):
    says = "def one():\n    import mlopsfw\n    mlopsfw.log_metric('loss', 2.0)\n    return 1\n"
    bench.write(CHAIN, steps=STEPS.replace("def one(): return 1", says).replace("x + 1", "x + None"))
    resumed = bench.run().run
    bench.edit("steps.py", "x + None", "x + 1")
    bench.resume()
    cached = bench.run().run
    with bench.open() as project:
        for run in (resumed, cached):
            view = project.runs.get(run)
            query = "SELECT step, status, seconds, from_run FROM steps WHERE run = ?"
            indexed = {row["step"]: row for row in project.index.query(query, [run])}
            assert {name: step.status for name, step in view.steps.items()} == {
                name: row["status"] for name, row in indexed.items()
            }
            assert [step.seconds for step in view.steps.values()] == [
                indexed[name]["seconds"] or 0.0 for name in view.steps
            ]
            assert [step.from_run or None for step in view.steps.values()] == [
                indexed[name]["from_run"] for name in view.steps
            ]
        metrics = project.index.query("SELECT run, value FROM metrics")
        assert metrics == [{"run": resumed, "value": 2.0}]


def test_a_step_that_ran_when_its_run_ended_is_interrupted_in_the_index_too(project):
    stream = project.ledger.stream("run/a")
    for record in (
        RunStarted(),
        StepStarted(step="one", attempt=1, inputs={}, fingerprint=""),
        RunFinished(status="interrupted", exit_code=130, seconds=1.0),
    ):
        stream.append(record)
    assert project.index.query("SELECT status FROM steps") == [{"status": "interrupted"}]
    assert project.runs.get("a").steps["one"].status == "interrupted"


def test_a_step_that_is_never_cached_is_not_run_again_by_resume(bench):
    count = "import pathlib\ndef one():\n    with open('count', 'a') as f: f.write('x')\n    return 1\n"
    bench.write(
        CHAIN.replace("[steps.two]", "cache = false\n[steps.two]"),
        steps=STEPS.replace("def one(): return 1", count).replace("x + 1", "1 / 0"),
    )
    bench.run()
    bench.edit("steps.py", "1 / 0", "x + 1")
    bench.resume()
    assert (bench.root / "count").read_text() == "x"
    bench.run()
    assert (bench.root / "count").read_text() == "xx"


def test_checkpoints_are_there_for_the_next_attempt_and_gone_after_success(bench):
    body = "def run(context):\n    file = context.checkpoints / 'epoch'\n    seen = file.exists()\n    file.touch()\n"
    body += "    if not seen: raise RuntimeError('killed')\n    return seen\n"
    bench.write('[steps.a]\npython = "steps:run"\n', steps=body)
    assert bench.run().status == "failed"
    outcome = bench.resume()
    assert bench.value(outcome, "a") is True
    assert not (bench.root / ".mlopsfw" / "runs" / outcome.run).exists()


def test_retries_come_as_often_as_configured_and_later_each_time(bench):
    body = "from pathlib import Path\ndef run():\n    with open('tries', 'a') as f: f.write('x')\n    raise OSError('flaky')\n"
    bench.write('[steps.a]\npython = "steps:run"\nretries = 2\n', steps=body)
    outcome = bench.run()
    assert outcome.status == "failed"
    assert (bench.root / "tries").read_text() == "xxx"
    assert pause_before(1) < pause_before(3) < pause_before(6)


def test_what_cannot_get_better_is_not_retried(bench):
    body = "from mlopsfw.kernel.base.errors import GateRefused\ndef run():\n    open('tries', 'a').write('x')\n    raise GateRefused('AUC 0.6 is below 0.7')\n"
    bench.write('[steps.a]\npython = "steps:run"\nretries = 5\n', steps=body)
    outcome = bench.run()
    assert (outcome.status, outcome.exit_code) == ("refused", 3)
    assert (bench.root / "tries").read_text() == "x"


def test_a_step_past_its_timeout_is_stopped(bench):
    bench.write(
        '[engine.local]\ngrace = 0.2\n[steps.a]\npython = "steps:run"\ntimeout = 0.5\n',
        steps="import time\ndef run():\n    while True:\n        try: time.sleep(60)\n        except KeyboardInterrupt: pass\n",
    )
    began = time.monotonic()
    outcome = bench.run()
    assert (outcome.failure.type, outcome.exit_code) == ("StepTimeout", 1)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("wiring", "kind"),
    [('reads = ["rows.csv"]', "DataError"), ('inputs = { n = "data:/rows" }', "UnknownName")],
    ids=["a file", "a dataset"],
)
def test_a_step_whose_input_is_not_there_fails_by_name_and_what_runs_beside_it_ends(bench, wiring, kind):
    steps = "import time\ndef slow():\n    time.sleep(0.5)\n    return 1\ndef run(n=0):\n    return n\n"
    outcome = bench.write(
        f'[steps.slow]\npython = "steps:slow"\n[steps.b]\npython = "steps:run"\n{wiring}\n', steps=steps
    ).run()
    assert (outcome.status, outcome.exit_code, outcome.failed, outcome.failure.type) == ("failed", 1, "b", kind)
    with bench.open() as project:
        found = project.runs.get(outcome.run).steps
        assert {name: step.status for name, step in found.items()} == {"slow": "done", "b": "failed"}


def test_a_worker_that_vanishes_is_replaced_and_its_step_tried_again(bench):
    body = "import os, pathlib\ndef run():\n    if not pathlib.Path('once').exists():\n        pathlib.Path('once').touch()\n        os.kill(os.getpid(), 9)\n    return 1\n"
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps=body).run()
    assert outcome.status == "done"
    assert bench.events(outcome.run).count("step.failed") == 1


def test_a_step_that_always_kills_its_worker_fails_in_the_end(bench):
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps="import os\ndef run(): os._exit(7)\n").run()
    assert outcome.failure.lost
    assert "exit code 7" in outcome.failure.message
    assert bench.events(outcome.run).count("step.started") == 3


def test_what_a_step_prints_is_its_log_even_from_c_code_and_on_failure(bench):
    body = "import os, sys\ndef run():\n    print('from python')\n    os.write(1, b'from below\\n')\n    print('warned', file=sys.stderr)\n    raise ValueError('no')\n"
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps=body).run()
    with bench.open() as project:
        log = project.runs.log(outcome.run, "a")
    assert {"from python", "from below", "warned", "ValueError: no"} <= set(log.splitlines())


def test_several_outputs_by_dict_or_tuple(bench):
    toml = '[steps.a]\npython = "steps:a"\noutputs = ["x", "y"]\n[steps.b]\npython = "steps:b"\noutputs = ["x", "y"]\n'
    outcome = bench.write(toml, steps="def a(): return {'y': 2, 'x': 1}\ndef b(): return 1, 2\n").run()
    assert [bench.value(outcome, step, name) for step in "ab" for name in "xy"] == [1, 2, 1, 2]
    bench.write(toml, steps="def a(): return 1\ndef b(): return 1, 2\n")
    assert "steps:a returned a int" in bench.run().failure.message


def test_a_value_without_an_open_format_is_refused_by_name(bench):
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps="def run(): return {'model': object()}\n").run()
    assert outcome.failure.type == DataError.__name__
    assert "a.result.model is a builtins.object" in outcome.failure.message


def test_only_the_asked_step_and_what_it_needs_run(bench):
    bench.write(CHAIN, steps=STEPS)
    assert list(bench.run(steps=("two",)).outputs) == ["one", "two"]
    bench.run(steps=("two",), force=True)
    assert bench.ran() == ["two"]
    bench.run(force=True)
    assert bench.ran() == ["one", "two", "three"]


def test_certify_finds_the_step_that_the_key_does_not_cover(bench):
    bench.write(
        CHAIN, steps=STEPS.replace("def two(x): return x + 1", "import time\ndef two(x): return time.time_ns()")
    )
    bench.run()
    outcome = bench.run(certify=True)
    assert (outcome.exit_code, outcome.different) == (1, ["two.result"])
    bench.write(steps=STEPS).run()
    assert bench.run(certify=True).exit_code == 0


def test_needs_orders_without_giving(bench):
    toml = '[steps.b]\npython = "steps:b"\nneeds = ["a"]\n[steps.a]\npython = "steps:a"\n'
    outcome = bench.write(
        toml, steps="from pathlib import Path\ndef a(): Path('there').touch()\ndef b(): return Path('there').exists()\n"
    ).run()
    assert bench.value(outcome, "b") is True


def test_an_edit_while_the_step_runs_keeps_its_result_from_being_reused(bench):
    body = "from pathlib import Path\ndef run():\n    me = Path('steps.py')\n    me.write_text(me.read_text().replace('RESULT = 1', 'RESULT = 2'))\n    return RESULT\nRESULT = 1\n"
    bench.write('[steps.a]\npython = "steps:run"\n', steps=body).run()
    bench.run()
    assert bench.ran() == ["a"]
    bench.run()
    assert bench.ran() == []


def test_a_mistake_in_the_pipeline_runs_nothing(bench):
    bench.write(CHAIN.replace("steps:three", "steps:tree"), steps=STEPS)
    with pytest.raises(ConfigError):
        bench.run()
    with bench.open() as project:
        assert project.runs.ids() == []


def test_a_step_that_is_debugged_runs_in_this_process_and_raises(bench):
    bench.write(
        '[steps.a]\npython = "debugged:run"\n',
        debugged="import os\ndef run():\n    raise ZeroDivisionError(os.getpid())\n",
    )
    with pytest.raises(ZeroDivisionError, match=str(os.getpid())):
        bench.run(debug=True)
    with bench.open() as project:
        assert project.runs.get("latest").status == "failed"


def test_a_debugger_that_is_quit_interrupts_the_run(bench):
    bench.write('[steps.a]\npython = "debugged:run"\n', debugged="import bdb\ndef run():\n    raise bdb.BdbQuit\n")
    done = bench.run(debug=True)
    assert (done.exit_code, done.status) == (130, "interrupted")


def test_a_breakpoint_without_a_debugger_says_how_to_get_one(bench, monkeypatch):
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)  # a person's, or that of a library in this process
    bench.write('[steps.a]\npython = "debugged:run"\n', debugged="def run():\n    breakpoint()\n    return 1\n")
    assert "debug the step with --debug" in bench.run().failure.message


def test_a_step_that_is_debugged_leaves_the_process_where_it_was(bench, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code = "import os\ndef run():\n    os.chdir('/'); os.environ['TRACE'] = '1'\n    return 1\n"
    bench.write('[steps.a]\npython = "debugged:run"\n', debugged=code)
    assert bench.run(debug=True).exit_code == 0
    assert (Path.cwd(), "TRACE" in os.environ) == (tmp_path / "elsewhere", False)


def test_two_resumptions_of_one_run_do_not_both_go_on(bench):
    bench.write(CHAIN, steps=STEPS.replace("x + 1", "x + None")).run()
    with bench.open() as project:
        view = project.runs.get("latest")
        stream = project.ledger.stream(f"run/{view.id}")
        epoch = stream.takeover(expecting=view.head)
        with pytest.raises(Conflict):
            stream.takeover(expecting=view.head)
        with pytest.raises(Fenced):
            stream.append(PlainRecord("run.heartbeat", {}), epoch=epoch - 1)
        with pytest.raises(Conflict, match=f"another process resumed run {view.id} first"):
            project.pipeline.resume(Display(project.workspace, None), view)


# -- through the command line ------------------------------------------------------------------------------------------------


SLOW = "import time\ndef one(): return 1\ndef two(x):\n    open('begun', 'w').close()\n    time.sleep(30 if SLEEPS else 0)\n    return 2\ndef three(x, y): return 3\n"


def start(bench) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlopsfw", "--project", str(bench.root), "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not (bench.root / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_run_that_can_be_resumed_and_exits_130(bench, sent):
    bench.write(CHAIN, steps=f"{SLOW}SLEEPS = True\n")
    process = start(bench)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "mlopsfw resume" in errors
    bench.edit("steps.py", "SLEEPS = True", "SLEEPS = False")
    outcome = bench.resume()
    assert outcome.status == "done"
    assert bench.events(outcome.run).count("step.started") == 4


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_a_call_of_a_plugin_interrupts_the_run_and_blames_nobody(bench, sent):
    bench.write(CHAIN, steps=f"{SLOW}SLEEPS = False\n")
    code = f"""if True:
        import os
        from mlopsfw.cli import run
        from mlopsfw_storage_object.local import LocalStorage
        put = LocalStorage.put_if_absent
        def signalled(self, key, data):
            if b"step.started" in (data if isinstance(data, bytes) else b""):
                os.kill(os.getpid(), {int(sent)})
            return put(self, key, data)
        LocalStorage.put_if_absent = signalled
        raise SystemExit(run(["--project", {str(bench.root)!r}, "run"]))
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 130, ended.stderr
    assert "storage" not in ended.stderr
    assert bench.resume().status == "done"


def test_a_coordinator_that_was_killed_is_taken_over_and_its_worker_goes_with_it(bench):
    bench.write(CHAIN, steps=f"{SLOW}SLEEPS = True\n")
    process = start(bench)
    workers = children(process.pid)
    process.kill()
    process.communicate(timeout=20)
    bench.edit("steps.py", "SLEEPS = True", "SLEEPS = False")
    outcome = bench.resume()
    assert outcome.status == "done"
    assert bench.events(outcome.run).count("takeover") == 1
    assert workers
    assert not any(
        Path(f"/proc/{pid}/cmdline").exists() and b"mlopsfw" in Path(f"/proc/{pid}/cmdline").read_bytes()
        for pid in workers
    )


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_run_that_is_going_on_cannot_be_resumed(bench):
    bench.write(CHAIN, steps=f"{SLOW}SLEEPS = True\n")
    process = start(bench)
    try:
        with pytest.raises(Conflict, match=f"process {process.pid}"):
            bench.resume()
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_two_runs_at_once_both_end_right(bench):
    bench.write(
        CHAIN, steps=STEPS.replace("def one(): return 1", "import time\ndef one():\n    time.sleep(.3)\n    return 1")
    )
    command = [sys.executable, "-m", "mlopsfw", "--project", str(bench.root), "run", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    import json

    answers = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0]["run"] != answers[1]["run"]
    assert answers[0]["outputs"]["three"] == answers[1]["outputs"]["three"]
    assert bench.run().status == "done"
    assert bench.ran() == []


@pytest.mark.parametrize(
    ("edit", "code", "says"),
    [
        (("steps:three", "steps:tree"), 2, "mlopsfw.toml:11: steps.three.python"),
        (('x = "one"', 'x = "onee"'), 2, "Did you mean 'one'?"),
        (("[steps.two]", "[steps.two]\ntimout = 3"), 2, "steps.two.timout"),
        (("[steps.two]", "[engine.local]\nworker = 3\n[steps.two]"), 2, "engine.local.worker"),
        (("[steps.two]", "[trainer.torch]\nepoch = 3\n[steps.two]"), 2, "trainer.torch.epoch"),
        (("[steps.two]", '[deployer]\nuse = "htpp"\n[steps.two]'), 2, "Did you mean 'http'?"),
    ],
)  # fmt: skip
def test_a_typo_exits_2_and_says_file_line_key_and_the_nearest_name(bench, edit, code, says):
    done = cli(bench.write(CHAIN.replace(*edit), steps=STEPS).root, "run")
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bench.root / ".mlopsfw" / "store" / "ledger").exists()


def test_a_failed_step_exits_1_with_the_users_own_line_and_no_traceback_of_ours(bench):
    done = cli(bench.write(CHAIN, steps=STEPS.replace("x + 1", "x + None")).root, "run")
    assert done.returncode == 1
    assert "steps.py:3 in two" in done.stderr
    assert "worker.py" not in done.stderr


def test_plain_output_has_one_line_for_each_step(bench):
    done = cli(bench.write(CHAIN, steps=STEPS).root, "run")
    assert [line.split()[1] for line in done.stdout.splitlines()[1:4]] == ["one", "two", "three"]
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout


def test_why_and_plan_and_status_tell_what_changed(bench):
    bench.write(CHAIN, steps=STEPS)
    assert "never run" in cli(bench.root, "why", "two").stdout
    bench.run()
    assert "nothing changed" in cli(bench.root, "why", "two").stdout
    bench.edit("steps.py", "x + 1", "x + 2")
    assert "code: steps.two changed (steps.py)" in cli(bench.root, "why", "two").stdout
    plan = cli(bench.root, "run", "--plan").stdout
    assert [line.split()[1] for line in plan.splitlines()[1:]] == ["cached", "run", "maybe"]
    assert "one" in cli(bench.root, "status").stdout


def test_an_unchanged_run_imports_nothing_heavy(bench):
    frames = "import polars as pl\ndef one(): return pl.DataFrame({'x': [1]})\ndef two(x): return x\ndef three(x, y): return x\n"
    bench.write(CHAIN, steps=frames).run()
    code = "import sys; from mlopsfw.cli import run; code = run(sys.argv[1:]); print(code, *sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--project", str(bench.root), "run"], capture_output=True, text=True, check=True
    )
    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert not {"polars", "pyarrow", "numpy", "torch", "rich", "obstore", "deltalake", "steps", "subprocess"} & set(
        modules
    )


def test_a_step_finds_no_trace_of_the_one_before_it_in_the_same_process(bench):
    toml = '[engine.local]\nworkers = 1\n[steps.a]\npython = "steps:a"\n[steps.b]\npython = "steps:b"\nneeds = ["a"]\n'
    leave = "import os, sys, shared\ndef a():\n    shared.LIST.append(1); os.environ['TRACE'] = '1'; os.chdir('/'); sys.path.append('x')\n    return os.getpid()\n"
    look = "def b():\n    return [os.getpid(), shared.LIST, os.environ.get('TRACE'), os.path.basename(os.getcwd()), 'x' in sys.path]\n"
    outcome = bench.write(toml, steps=leave + look, shared="LIST = []\n").run()
    assert bench.value(outcome, "b") == [bench.value(outcome, "a"), [], None, "bench", False]


def test_observers_are_told_in_the_coordinator_of_what_workers_append(bench, tmp_path):
    site = tmp_path / "site"
    info = site / "watcher-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watcher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlopsfw.v1]\nobserver.watcher = watcher\n")
    watcher = "import os\nfrom mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_event(event):\n"
    watcher += f"    open({str(tmp_path / 'seen')!r}, 'a').write(f'{{os.getpid()}} {{event.type}}\\n')\n    raise RuntimeError('observers cannot end a run')\n"
    (site / "watcher.py").write_text(watcher)
    bench.write('[steps.a]\npython = "steps:a"\n', steps="import mlopsfw\ndef a(): mlopsfw.log_metric('x', 1)\n")
    done = cli(bench.root, "run", env={**os.environ, "PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stderr
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert len({pid for pid, _ in seen}) == 1
    assert [kind for _, kind in seen] == [
        "run.started",
        "step.started",
        "metrics.segment",
        "step.finished",
        "step.result",
        "run.finished",
    ]


def test_options_by_default_use_the_cache():
    assert Options() == Options(force=frozenset(), certify=False, debug=False)
    assert Failure(type="x", message="y").retryable
