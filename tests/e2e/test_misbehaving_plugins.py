"""One run beside eight plugins that misbehave, each in a package of its own: it ends as it should, each is blamed by name, and nothing of the healthy ones is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import msgspec
import numpy as np
import pytest

from mlopsfw.cli.plugin_new import write_package
from mlopsfw.kernel.config.model import ProjectConfig, Selection
from mlopsfw.kernel.roles.bundle import Manifest, OutputColumn, SignatureColumn
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.project.facade import Project
from mlopsfw_core import Reference

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HEALTHY = ("alerter", "component", "engine", "monitor", "observer", "secrets", "step", "storage")
HEAD = """
import sys, time
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Alerter, Monitor

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    timeout: float = 30.0
    password: str = ""
"""
OBSERVER = "@hookimpl\ndef mlopsfw_event(event, host):\n    "
ALERTER = """
class Bell(Alerter):
    def __init__(self, config, host): pass
    def deliver(self, alert):
        {act}

@hookimpl
def mlopsfw_alerters(): {offer}
"""
MONITOR = """
class Eye(Monitor):
    def __init__(self, config, host): pass
    def signals(self, window, state): return {{"findings": []}}

@hookimpl
def mlopsfw_monitors(): yield Provider("{name}", Config, Eye, "Answers with a dictionary")
"""


def alerter(name, act="return None", offer=""):
    return ALERTER.format(act=act, offer=offer or f'yield Provider("{name}", Config, Bell, "A bell")')


def emits(stream, kind):
    return OBSERVER + f'host.emit("{stream}", "{kind}", {{"alias": "champion", "version": 99}})\n'


MISBEHAVING = {
    "import-error": ("observer.unimportable", "import a_library_that_is_not_here\n" + OBSERVER + "pass\n"),
    "hook-error": (
        "component.hookless",
        "@hookimpl\ndef mlopsfw_components():\n    raise ValueError('the hook fails')\n",
    ),
    "system-exit": ("observer.quitter", OBSERVER + "sys.exit(0)\n"),
    "hang": ("alerter.sleeper", alerter("sleeper", "time.sleep(3600)")),
    "wrong-type": ("monitor.talker", MONITOR.format(name="talker")),
    "wrong-identity": ("observer.impostor", emits("model/orders", "alias.moved")),
    "name-clash": ("alerter.healthy", alerter("healthy")),
    "clear-secret": ("alerter.open", alerter("open")),
}
CLASH = "acme-name-clash"
MANIFEST = Manifest(
    task="regression", target="late", formats={}, files={}, classes=(),
    inputs=(SignatureColumn(name="x", type="number", nullable=True),), outputs=(OutputColumn(name="late", type="number"),),
)  # fmt: skip
TOML = """
[project]
name = "beside"

[plugins]
disabled = [{disabled}]

[storage]
use = "healthy"

[engine]
use = "healthy"

{monitors}
[[alerter]]
use = "sleeper"
timeout = 0.5

[[alerter]]
use = "open"
password = "{password}"

[steps.numbers]
python = "work:numbers"

[steps.clean]
use = "healthy"
column = "x"
inputs = {{ rows = "numbers" }}

[steps.watch]
use = "monitor"
endpoint = "orders"
start = "2026-01-01"
end = "2026-01-02"

[steps.tell]
use = "alert"
title = "The rows are clean"
inputs = {{ rows = "clean" }}

[[alerter]]
use = "healthy"
"""
WORK = "import polars as pl\ndef numbers():\n    return pl.DataFrame({'x': [1, None, 2]})\n"


def wheel(folder, name, version, points, files):
    """Write a wheel of a package; return its file."""
    info, tag = f"{name.replace('-', '_')}-{version}.dist-info", "py3-none-any"
    whole = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": "[mlopsfw.v1]\n" + "".join(f"{point} = {module}\n" for point, module in points),
        f"{info}/RECORD": "",
    }
    made = folder / f"{name.replace('-', '_')}-{version}-{tag}.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in whole.items():
            archive.writestr(path, text)
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Install the packages, each from a wheel of its own; return where they are."""
    folder = tmp_path_factory.mktemp("packages")
    wheels = []
    for role in HEALTHY:
        made = write_package(role, "healthy", folder)
        module = f"mlopsfw_{role}_healthy"
        source = (made / "src" / module / "__init__.py").read_text(encoding="utf-8")
        wheels.append(wheel(folder, made.name, "1.0", [(f"{role}.healthy", module)], {f"{module}/__init__.py": source}))
    for name, (point, source) in MISBEHAVING.items():
        module = f"acme_{name.replace('-', '_')}"
        wheels.append(wheel(folder, f"acme-{name}", "1.2", [(point, module)], {f"{module}.py": HEAD + source}))
    pip = ["pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([sys.executable, "-m", *pip, "--target", str(folder / "site"), *map(str, wheels)], check=True)
    return folder / "site"


@pytest.fixture
def mlopsfw(site, tmp_path):
    """Return a function that runs a verb in the project, in a process that has the packages."""
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "mlopsfw", *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


def write(folder, *, password="env:ACME_PASSWORD", disabled=(CLASH,), monitors=("talker", "healthy")):
    names = ", ".join(map(json.dumps, disabled))
    selected = "".join(f'[[monitor]]\nuse = "{name}"\n' for name in monitors)
    toml = TOML.format(password=password, disabled=names, monitors=selected)
    (folder / "mlopsfw.toml").write_text(toml, encoding="utf-8")
    (folder / "work.py").write_text(WORK, encoding="utf-8")


@pytest.fixture
def captured(site, tmp_path, monkeypatch):
    """Let an endpoint have answered with a registered model: half of its rows lack x, which the healthy monitor finds."""
    monkeypatch.syspath_prepend(site)
    config = ProjectConfig(
        name="beside",
        disabled=tuple(f"acme-{name}" for name in MISBEHAVING),
        selected={"storage": (Selection(use="healthy", key="storage"),)},
    )
    with Project.open(tmp_path, config=config, observe=lambda _: None) as project:
        folder = tmp_path / "bundle"
        folder.mkdir()
        (folder / "bundle.json").write_bytes(msgspec.json.encode(MANIFEST))
        profile = {"x": Reference.fit(np.arange(100.0), name="x").to_dict()}
        (folder / "profile.json").write_bytes(msgspec.json.encode(profile))
        bundle = project.blobs.put_folder(folder)
        project.registry.register("orders", bundle)
        spec = EndpointSpec(endpoint="orders", model="orders", version=1, bundle=bundle, revision=1)
        capture = project.host("deployer.http").capture(spec, MANIFEST)
        capture.write({"x": [1.0, None] * 50}, {"late": [0.5] * 100}, event_time="2026-01-01T12:00:00Z")
        capture.close()


def lines(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_run_beside_eight_misbehaving_plugins_blames_each_and_loses_nothing_of_the_healthy_ones(
    mlopsfw, captured, tmp_path, monkeypatch
):
    monkeypatch.setenv("ACME_PASSWORD", "hunter2")

    # what the file itself asks for and cannot have ends the run before anything of it is written
    write(tmp_path, password="hunter2", disabled=())
    done = mlopsfw("run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "alerter.1.password: holds a secret in plain text" in done.stderr
    assert "hunter2" not in done.stderr
    write(tmp_path, disabled=())
    done = mlopsfw("run")
    assert (done.returncode, done.stdout) == (5, "")
    assert "'alerter.healthy' is provided by acme-name-clash 1.2" in done.stderr
    assert "and mlopsfw-alerter-healthy 1.0" in done.stderr
    assert not list(tmp_path.glob("healthy-*.jsonl"))

    # beside the others it ends as it should: the monitor's step fails, and what it kept back can be resumed
    write(tmp_path)
    done = mlopsfw("run")
    assert done.returncode == 5, done.stderr
    for blamed in (
        "'observer.unimportable' (acme-import-error 1.2) cannot be loaded and is disabled: ModuleNotFoundError",
        "'component.hookless' (acme-hook-error 1.2) is left out: ValueError: the hook fails",
        "'observer.quitter' (acme-system-exit 1.2) failed on run.started: PluginAborted: SystemExit: 0 was raised",
        "'observer.impostor' (acme-wrong-identity 1.2) failed on run.started: PluginError: observer.impostor may not write",
        "raised by plugin 'monitor.talker' (acme-wrong-type 1.2) in Monitor.signals",
    ):
        assert blamed in done.stderr
    assert "\\x0a" not in done.stderr
    steps = json.loads(mlopsfw("status", "--json").stdout)["steps"]
    assert (steps["numbers"]["status"], steps["watch"]["status"]) == ("done", "failed")
    groups = {alert["group"] for alert in lines(tmp_path / "healthy-alerts.jsonl")}
    assert "orders/healthy" in groups  # the other monitor found what it had to, and its alert is there

    # without that monitor it goes on where it failed, and ends well
    write(tmp_path, monitors=("healthy",))
    done = mlopsfw("resume")
    assert done.returncode == 0, done.stderr
    steps = json.loads(mlopsfw("status", "--json").stdout)["steps"]
    assert {step["status"] for step in steps.values()} <= {"done", "cached"}

    # nothing of the healthy ones is lost
    events = [event["type"] for event in lines(tmp_path / "healthy-events.jsonl")]
    assert {"run.started", "run.finished"} <= set(events)
    assert events.count("step.finished") == 4
    delivered = [alert["title"] for alert in lines(tmp_path / "healthy-alerts.jsonl")]
    assert "The rows are clean" in delivered
    assert len(delivered) == 2  # and that of the healthy monitor
    alerts = json.loads(mlopsfw("alerts", "list", "--json").stdout)
    assert {alert["title"] for alert in alerts} == set(delivered)
    for alert in alerts:
        assert "healthy (firing)" in alert["delivered"]
        (waiting,) = alert["waiting"]
        assert waiting.startswith("sleeper (firing): ")
    assert any("raised by plugin 'alerter.sleeper' (acme-hang 1.2)" in alert["waiting"][0] for alert in alerts)
    assert json.loads(mlopsfw("index", "list", "healthy", "--json").stdout) == []
    audited = mlopsfw("audit", "verify")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    (model,) = json.loads(mlopsfw("models", "list", "--json").stdout)
    assert "champion" not in json.dumps(model["aliases"])
