"""Nothing that a plugin raises ends mlopsfw: it becomes a plugin's error with blame. A Ctrl-C still ends what runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlopsfw.cli import run as cli
from mlopsfw.kernel.base import interrupts
from mlopsfw.kernel.base.errors import PluginAborted, PluginBroken
from mlopsfw.kernel.config.model import Selection
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.plugins.blame import Blamed, blaming
from mlopsfw.kernel.plugins.catalog import Claim
from mlopsfw.kernel.roles.event import Event
from mlopsfw.kernel.roles.names import KINDS, ROLES
from mlopsfw.pipeline.run.failure import failure_of
from mlopsfw.project.facade import Project

RAISED = [
    "SystemExit",
    "SystemExit(0)",
    "SystemExit(3)",
    "SystemExit('usage: bell')",
    "KeyboardInterrupt",
    "GeneratorExit",
    "asyncio.CancelledError",
    "Wild('of its own')",
]
raising = pytest.mark.parametrize("raised", RAISED)
in_a_run = pytest.mark.parametrize("raised", ["SystemExit(0)", "KeyboardInterrupt", "asyncio.CancelledError"])
HEAD = """
import asyncio, sys, time
import click, msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.components import Check, Component, Diagnosis

class Wild(BaseException): ...
class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    a: int = 0
def oops(*args, **kwargs):
    raise RAISED
"""
CALLED = {
    "storage": ("put", "put_if_absent", "get", "delete", "table_location", "describe"),
    "trainer": ("fit",),
    "runtime": ("load",),
    "deployer": ("deploy", "status", "stop"),
    "monitor": ("signals", "page"),
    "alerter": ("deliver",),
    "engine": ("submit", "close"),
    "format": ("read", "header"),
    "source": ("find",),
    "secrets": ("read",),
}
CALLS = [(role, method) for role, methods in CALLED.items() for method in methods]
Installer = Callable[..., str]


def source(raised: str, rest: str) -> str:
    return HEAD.replace("RAISED", raised) + rest


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    """Count SIGINTs, as the command line does."""
    began = interrupts.install()
    yield
    if began:
        interrupts.uninstall()


def built(project: Project, role: str) -> Any:
    selection = Selection(use="bell", options={}, key=role)
    return project.plugins.build(role, selection, project.config, project.host(f"{role}.bell"))


def aborted(call: Callable[[], object], raised: str, blame: str) -> PluginAborted:
    """Expect the typed error: what was raised, who raised it and where."""
    with pytest.raises(PluginAborted) as caught:
        call()
    error = caught.value
    kind = raised.partition("(")[0].rpartition(".")[2]
    assert type(error.__cause__).__name__ == kind
    assert f"{kind}" in error.message
    assert error.exit_code == 5
    assert [note for note in error.__notes__ if "acme-mlops-0 1.2" in note and note.endswith(blame)] == error.__notes__
    return error


# -- each door × each exception ------------------------------------------------------------------------------------------------

BUILT = """
class Bell:
    def __getattr__(self, name): return oops
@hookimpl
def {hook}(): yield Provider("bell", Config, lambda config, host: Bell(), "")
"""


@raising
@pytest.mark.parametrize(("role", "method"), CALLS)
def test_a_method_of_a_role(role, method, raised, install_plugin, project):
    install_plugin(source(raised, BUILT.format(hook=KINDS[role].spec)), f"{role}.bell")
    bell = built(project, role)
    aborted(getattr(bell, method), raised, f" in {role.capitalize()}.{method}")


@raising
@pytest.mark.parametrize("role", ROLES)
def test_the_hook_of_a_role(role, raised, install_plugin, project):
    install_plugin(source(raised, f"@hookimpl\ndef {KINDS[role].spec}():\n    oops()\n    yield\n"), f"{role}.bell")
    aborted(lambda: built(project, role), raised, f" in {KINDS[role].spec}")


@raising
@pytest.mark.parametrize("role", ROLES)
def test_the_build_of_a_role(role, raised, install_plugin, project):
    hook = f"@hookimpl\ndef {KINDS[role].spec}():\n    yield Provider('bell', Config, oops, '')\n"
    install_plugin(source(raised, hook), f"{role}.bell")
    aborted(lambda: built(project, role), raised, " in build")


@raising
def test_the_config_of_a_role(raised, install_plugin, project):
    rest = """
class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    def __post_init__(self): oops()
@hookimpl
def mlopsfw_alerters(): yield Provider("bell", Strict, oops, "")
"""
    install_plugin(source(raised, rest), "alerter.bell")
    aborted(lambda: built(project, "alerter"), raised, " in its config")


@raising
@pytest.mark.parametrize("kind", [*ROLES, "command"])
def test_an_import(kind, raised, install_plugin, project):
    install_plugin(source(raised, "oops()\n"), f"{kind}.bell")
    doors = {"command": lambda: project.plugins.command("bell")}
    with pytest.warns(RuntimeWarning, match="is disabled"), pytest.raises(PluginBroken) as caught:
        doors.get(kind, lambda: built(project, kind))()
    assert caught.value.exit_code == 5
    assert isinstance(caught.value.__cause__, PluginAborted)
    assert "acme-mlops-0 1.2" in caught.value.message


@pytest.mark.parametrize("base", ["BaseException", "Exception"])
@pytest.mark.parametrize("text", ["sys.exit(3)", "raise KeyboardInterrupt", "return 1"])
def test_an_exception_whose_text_ends_the_process(base, text, install_plugin, project):
    body = f"import sys\nclass Bell({base}):\n    def __str__(self): {text}\n    __repr__ = __str__\nraise Bell\n"
    install_plugin(body, "observer.bell")
    with pytest.warns(RuntimeWarning, match=r"observer\.bell.*is disabled: .*the error has no text"):
        project.ledger.stream("run/a").append(PlainRecord("run.started", {}))


@raising
def test_an_attribute(raised, install_plugin, project):
    rest = """
class Bell:
    @property
    def slots(self): oops()
@hookimpl
def mlopsfw_engines(): yield Provider("bell", Config, lambda config, host: Bell(), "")
"""
    install_plugin(source(raised, rest), "engine.bell")
    bell = built(project, "engine")
    aborted(lambda: bell.slots, raised, " in Engine.slots")


@raising
def test_an_iterator(raised, install_plugin, project):
    rest = """
class Bell:
    def list(self, prefix):
        yield 1
        oops()
@hookimpl
def mlopsfw_storages(): yield Provider("bell", Config, lambda config, host: Bell(), "")
"""
    install_plugin(source(raised, rest), "storage.bell")
    entries = built(project, "storage").list("")
    assert next(entries) == 1
    aborted(lambda: next(entries), raised, " in Storage.list")


def test_an_iterator_that_nobody_goes_on_with_is_closed_and_no_fault(install_plugin, project):
    rest = """
closed = []
class Bell:
    def list(self, prefix):
        try: yield 1
        finally: closed.append(prefix)
@hookimpl
def mlopsfw_storages(): yield Provider("bell", Config, lambda config, host: Bell(), "")
"""
    module = install_plugin(source("OSError", rest), "storage.bell")
    entries = built(project, "storage").list("a")
    assert next(entries) == 1
    entries.close()
    assert sys.modules[module].closed == ["a"]


PARTS = """
class Part:
    def __getattr__(self, name): return oops
class Bell:
    def submit(self, spec): return Part()
    def load(self, folder): return Part()
@hookimpl
def {hook}(): yield Provider("bell", Config, lambda config, host: Bell(), "")
"""


@raising
@pytest.mark.parametrize(
    "where", ["engine.submit.Handle.wait", "engine.submit.Handle.cancel", "runtime.load.Model.predict"]
)
def test_what_a_role_hands_out(where, raised, install_plugin, project):
    role, maker, part, method = where.split(".")
    install_plugin(source(raised, PARTS.format(hook=KINDS[role].spec)), f"{role}.bell")
    made = getattr(built(project, role), maker)(None)
    aborted(getattr(made, method), raised, f" in {part}.{method}")


EVENT = Event(stream="run/x", seq=1, id="0" * 32, type="run.started", time="2026-01-01T00:00:00Z", actor="a", body={})


@raising
@pytest.mark.parametrize("when", ["import", "event"])
def test_an_observer_is_warned_about_and_the_next_is_told(when, raised, install_plugin, project):
    body = {"import": "oops()\n", "event": "@hookimpl\ndef mlopsfw_event(event): oops()\n"}[when]
    install_plugin(source(raised, body), "observer.bell")
    observer = "from mlopsfw import hookimpl\nseen = []\n@hookimpl\ndef mlopsfw_event(event): seen.append(event.type)\n"
    other = install_plugin(observer, "observer.later")
    with pytest.warns(RuntimeWarning, match=r"plugin 'observer\.bell' \(acme-mlops-0 1\.2\)"):
        project.plugins.notify(EVENT, project.host, {})
    assert sys.modules[other].seen == ["run.started"]


@raising
def test_a_check_is_an_error_of_doctors_and_the_others_are_asked(raised, install_plugin, project):
    rest = """
def build(config, host):
    return Component(name="bell", checks=(Check("bad", "", oops), Check("good", "", lambda: ())))
@hookimpl
def mlopsfw_components(): yield Provider("bell", Config, build)
"""
    install_plugin(source(raised, rest), "component.bell")
    levels = {found.check: found.level for found in project.doctor.examine()}
    assert (levels["bad"], levels["good"]) == ("error", "ok")


COMMANDS = {
    "the command": "@click.command('greet')\ndef greet(): oops()\n",
    "its options": "@click.command('greet')\n@click.option('--loud', callback=oops)\ndef greet(loud): ...\n",
    "a verb of its group": "@click.group('greet')\ndef greet(): ...\n@greet.command('now')\ndef now(): oops()\n",
}


@raising
@pytest.mark.parametrize("body", COMMANDS)
def test_a_command_ends_with_code_5_and_names_its_plugin(body, raised, install_plugin, capsys):
    rest = COMMANDS[body] + "@hookimpl\ndef mlopsfw_commands(): yield greet\n"
    install_plugin(source(raised, rest), "command.greet")
    assert cli(["greet", *(["now"] if "group" in COMMANDS[body] else [])]) == 5
    shown = capsys.readouterr().err
    assert "raised by plugin 'command.greet' (acme-mlops-0 1.2) in the command greet" in shown


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("click.echo('hello')", 0),
        ("click.get_current_context().exit(7)", 7),
        ("raise click.ClickException('no')", 1),
        ("raise click.UsageError('no')", 2),
        ("raise click.Abort", 130),
    ],
)
def test_what_a_command_says_to_click_holds(body, code, install_plugin):
    rest = f"@click.command('greet')\ndef greet(): {body}\n@hookimpl\ndef mlopsfw_commands(): yield greet\n"
    install_plugin(source("OSError", rest), "command.greet")
    assert cli(["greet"]) == code


def test_an_ordinary_error_of_a_command_names_its_plugin(install_plugin, capsys):
    rest = "@click.command('greet')\ndef greet(): oops()\n@hookimpl\ndef mlopsfw_commands(): yield greet\n"
    install_plugin(source("OSError('full')", rest), "command.greet")
    assert cli(["greet"]) == 5
    assert "raised by plugin 'command.greet'" in capsys.readouterr().err


@raising
def test_a_plugin_that_aborts_in_a_worker_is_a_failure_with_the_plugins_code(raised, install_plugin, project, tmp_path):
    install_plugin(source(raised, BUILT.format(hook=KINDS["trainer"].spec)), "trainer.bell")
    error = aborted(lambda: built(project, "trainer").fit(), raised, " in Trainer.fit")
    failure = failure_of(error, tmp_path)
    assert (failure.type, failure.exit_code) == ("PluginAborted", 5)
    assert "raised by plugin 'trainer.bell'" in failure.message


# -- runs ----------------------------------------------------------------------------------------------------------------------

STEPS = '[steps.a]\npython = "work:run"\n'
ENGINE = """
class Part:
    def wait(self, timeout=None): {wait}
    def cancel(self): ...
class Bell:
    slots = 1
    def submit(self, spec): {submit}
    def close(self): ...
@hookimpl
def mlopsfw_engines(): yield Provider("bell", Config, lambda config, host: Bell(), "")
"""


def status(project: Project) -> dict[str, Any]:
    """Return what the newest run came to, by a project opened anew."""
    with Project.open(project.root) as again:
        view = again.runs.get("latest")
        events = list(again.ledger.stream(f"run/{view.id}").events())
        return {"status": view.status, "exit_code": view.exit_code, "events": events, "steps": view.steps}


@in_a_run
def test_an_observer_that_aborts_does_not_end_a_run(raised, install_plugin, make_project):
    install_plugin(source(raised, "@hookimpl\ndef mlopsfw_event(event): oops()\n"), "observer.bell")
    project = make_project(STEPS, work="def run(): return 1\n")
    with pytest.warns(RuntimeWarning, match=r"observer\.bell"):
        assert cli(["--project", str(project.root), "run"]) == 0
    assert status(project)["status"] == "done"


def test_of_two_observers_with_one_name_neither_gets_an_event_and_one_warning_names_both(install_plugin, make_project):
    observer = "from mlopsfw import hookimpl\nseen = []\n@hookimpl\ndef mlopsfw_event(event): seen.append(event.type)\n"
    twins = [install_plugin(observer, "observer.bell") for _ in range(2)]
    other = install_plugin(observer, "observer.other")
    project = make_project()
    with pytest.warns(
        RuntimeWarning, match=r"'observer\.bell' is provided by acme-mlops-0 .* and acme-mlops-1 "
    ) as warned:
        project.ledger.stream("run/a").append(PlainRecord("run.a", {}))
    project.ledger.stream("run/a").append(PlainRecord("run.b", {}))  # a second warning would be an error
    assert len(warned) == 1
    assert "disabled = " in str(warned[0].message)
    assert sys.modules[other].seen == ["run.a", "run.b"]
    assert not [twin for twin in twins if twin in sys.modules]


def test_a_warning_about_a_plugin_is_one_line(install_plugin, make_project):
    install_plugin(
        "from mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_event(event, host): host.emit('model/a', 'alias.moved', {})\n",
        "observer.bell",
    )
    with pytest.warns(RuntimeWarning, match=r"observer\.bell") as warned:
        make_project().ledger.stream("run/a").append(PlainRecord("run.a", {}))
    assert not [each for each in warned if "\n" in str(each.message)]


@in_a_run
def test_an_engine_that_aborts_leaves_a_failed_run_that_says_why_and_can_be_resumed(
    raised, install_plugin, make_project, capsys
):
    install_plugin(source(raised, ENGINE.format(submit="oops()", wait="...")), "engine.bell")
    project = make_project('[engine]\nuse = "bell"\n' + STEPS, work="def run(): return 1\n")
    assert cli(["--project", str(project.root), "run"]) == 5
    assert "raised by plugin 'engine.bell' (acme-mlops-0 1.2) in Engine.submit" in capsys.readouterr().err
    found = status(project)
    assert (found["status"], found["exit_code"]) == ("failed", 5)
    (broken,) = [event for event in found["events"] if event.type == "run.broken"]
    assert broken.body["type"] == "PluginAborted"
    file = project.root / "mlopsfw.toml"
    file.write_text(file.read_text().replace('use = "bell"', 'use = "local"'))
    assert cli(["--project", str(project.root), "resume"]) == 0


@in_a_run
def test_an_engine_whose_answer_aborts_fails_the_step_rather_than_hanging(raised, install_plugin, make_project):
    install_plugin(source(raised, ENGINE.format(submit="return Part()", wait="oops()")), "engine.bell")
    project = make_project('[engine]\nuse = "bell"\n' + STEPS, work="def run(): return 1\n")
    assert cli(["--project", str(project.root), "run"]) == 5
    assert "PluginAborted" in status(project)["steps"]["a"].failure


@in_a_run
def test_an_alerter_that_aborts_is_tried_again_and_the_other_delivers(raised, install_plugin, make_project):
    install_plugin(source(raised, BUILT.format(hook=KINDS["alerter"].spec)), "alerter.bell")
    project = make_project('[[alerter]]\nuse = "bell"\n[[alerter]]\nuse = "console"\n')
    project.alerts.raise_("g", "critical", "t", "")
    pumped = project.alerts.pump()
    assert (pumped.delivered, pumped.failed) == (1, 1)
    (failed,) = [
        event for event in project.texts.clear(project.ledger.stream("alerts").events()) if event.type == "alert.failed"
    ]
    assert "raised by plugin 'alerter.bell'" in failed.body["reason"]


@in_a_run
def test_a_storage_that_aborts_is_a_plugins_error_of_any_verb(raised, install_plugin, make_project, capsys):
    install_plugin(source(raised, BUILT.format(hook=KINDS["storage"].spec)), "storage.bell")
    project = make_project('[storage]\nuse = "bell"\n')
    assert cli(["--project", str(project.root), "models", "list"]) == 5
    assert "raised by plugin 'storage.bell'" in capsys.readouterr().err


@in_a_run
def test_plugins_list_load_says_what_is_broken_and_goes_on(raised, install_plugin, capsys):
    install_plugin(source(raised, "oops()\n"), "alerter.bell", "monitor.bell")
    assert cli(["plugins", "list", "--load"]) == 5
    shown = capsys.readouterr().out
    assert shown.count("broken") == 2
    assert "alerter.console" in shown


def test_a_step_that_ends_its_process_is_no_success_when_it_runs_in_ours(make_project, capsys):
    project = make_project(STEPS, work="import sys\ndef run(): sys.exit(0)\n")
    assert cli(["--project", str(project.root), "run", "--debug"]) not in (0, None)
    assert "SystemExit" in capsys.readouterr().err
    assert status(project)["status"] == "failed"


# -- a real Ctrl-C -------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def as_python_begins():
    """Give SIGINT the handler that Python gives it: a shell that starts this suite in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_is_told_from_what_a_plugin_raises():
    claim = Claim("alerter", "bell", "m", "acme", "1", 1)
    with pytest.raises(KeyboardInterrupt), blaming(claim, "x"):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(PluginAborted), blaming(claim, "x"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("made", [SystemExit(1), RuntimeError("stopped"), KeyboardInterrupt("stopped")])
def test_what_a_plugin_makes_of_a_signal_is_an_interrupt_still(made):
    def caught_and_replaced() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise made from None

    bell = Blamed(type("Bell", (), {"deliver": staticmethod(caught_and_replaced)})(), CLAIM, "alerter")
    with pytest.raises(KeyboardInterrupt):
        bell.deliver()


CLAIM = Claim("alerter", "bell", "m", "acme", "1", 1)


def test_a_host_program_that_handles_sigint_keeps_its_handler_and_every_interrupt(monkeypatch):
    def own(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    interrupts.uninstall()
    before = signal.signal(signal.SIGINT, own)
    try:
        for act in (lambda: signal.raise_signal(signal.SIGINT), lambda: (_ for _ in ()).throw(KeyboardInterrupt())):
            with pytest.raises(KeyboardInterrupt), blaming(CLAIM, "x"):
                act()
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_host_program_gets_pythons_own_handler_back():
    interrupts.uninstall()
    with pytest.raises(PluginAborted), blaming(CLAIM, "x"):
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SLOW = {
    "observer.bell": "@hookimpl\ndef mlopsfw_event(event): sleep()\n",
    "engine.bell": ENGINE.format(submit="sleep()", wait="..."),
    "command.greet": "@click.command('greet')\ndef greet(): sleep()\n@hookimpl\ndef mlopsfw_commands(): yield greet\n",
    "command.argparse": "@click.command('argparse')\ndef greet():\n    try: sleep()\n    finally: raise SystemExit(2)\n"
    "@hookimpl\ndef mlopsfw_commands(): yield greet\n",
}
SLEEP = """
import os
def sleep():
    open(os.environ["MARK"], "w").close()
    time.sleep(60)
"""


def interrupted(root: Path, mark: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the command, and send it SIGINT once the plugin sleeps in it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlopsfw", "--project", str(root), *words],
        env=os.environ | {"MARK": str(mark)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not mark.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.mark.parametrize("point", SLOW)
def test_a_real_ctrl_c_while_a_plugin_runs_ends_with_130(point, install_plugin, make_project, tmp_path):
    install_plugin(source("OSError", SLEEP + SLOW[point]), point)
    project = make_project(
        ('[engine]\nuse = "bell"\n' if "engine" in point else "") + STEPS, work="def run(): return 1\n"
    )
    kind, name = point.split(".")
    done = interrupted(project.root, tmp_path / "mark", [name] if kind == "command" else ["run"])
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    if kind == "engine":
        assert status(project)["status"] == "interrupted"


def test_a_step_that_is_asked_to_stop_while_a_trainer_runs_is_interrupted_and_not_the_trainers_fault(
    install_plugin, make_project, tmp_path
):
    answer = "return ('regression',) if name == 'tasks' else lambda *_: sleep()"
    rest = SLEEP + BUILT.format(hook=KINDS["trainer"].spec).replace("return oops", answer)
    install_plugin(source("OSError", rest), "trainer.bell")
    project = make_project(
        '[trainer]\nuse = "bell"\n' + STEPS,
        work="from mlopsfw import Project\nfrom mlopsfw.roles import TrainingTask\ndef run():\n"
        "    task = TrainingTask(task='regression', target='y')\n"
        "    return Project.open().providers.trainer().fit(task, 2, None, 4)\n",
    )
    done = interrupted(project.root, tmp_path / "mark", ["run"])
    assert done.returncode == 130, done.stderr
    found = status(project)
    assert found["status"] == "interrupted"
    assert "PluginAborted" not in json.dumps([event.body for event in found["events"]])
