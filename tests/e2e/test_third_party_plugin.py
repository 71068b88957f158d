"""A third party's package, built as a wheel and pip-installed into a fresh environment beside ours, carries a whole pipeline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ACME = ROOT / "examples" / "acme-plugin"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PIPELINE = """
[project]
name = "beside"

[storage]
use = "acme"

[[alerter]]
use = "acme"

[steps.numbers]
python = "work:numbers"
outputs = ["list", "rows"]

[steps.clean]
use = "acme-clean"
inputs = { rows = "numbers.rows" }

[steps.tell]
use = "alert"
inputs = { about = "numbers.list" }
title = "The numbers are in"
"""
WORK = "import polars as pl\ndef numbers():\n    return [1, 2, 3], pl.DataFrame({'x': [1, 1, 2]})\n"

POINTS = tomllib.loads((ACME / "pyproject.toml").read_text())["project"]["entry-points"]["mlopsfw.v1"]
MINIMAL = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "2.0"
[project.entry-points."{group}"]
"{point}" = "{module}"
[tool.setuptools]
py-modules = ["{module}"]
"""


def pip(*args):
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, args)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip


class Beside:
    """A fresh environment that sees our packages, and in which wheels are installed by pip."""

    def __init__(self, folder):
        self.folder = folder
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        self.site = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
        ours = sysconfig.get_path("purelib")
        (self.site / "beside.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        self.project = folder / "project"
        self.project.mkdir()

    def install(self, source):
        wheels = self.folder / f"wheels-{Path(source).name}"
        pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source)
        (wheel,) = wheels.glob("*.whl")
        pip("install", "--no-deps", "--no-index", "--target", self.site, wheel)

    def package(self, name, source, *, point, group="mlopsfw.v1"):
        """Make a distribution of one module and install it."""
        module = name.replace("-", "_")
        folder = self.folder / name
        folder.mkdir()
        (folder / "pyproject.toml").write_text(MINIMAL.format(name=name, module=module, point=point, group=group))
        (folder / f"{module}.py").write_text(source)
        self.install(folder)

    def mlopsfw(self, *args):
        env = os.environ | {"PYTHONWARNINGS": "default"}
        return subprocess.run(
            [self.python, "-m", "mlopsfw", *args],
            cwd=self.project,
            capture_output=True,
            text=True,
            env=env,
            check=False,
        )


@pytest.fixture
def beside(tmp_path):
    made = Beside(tmp_path)
    (made.project / "mlopsfw.toml").write_text(PIPELINE)
    (made.project / "work.py").write_text(WORK)
    return made


@pytest.fixture(scope="module")
def acme_installed(tmp_path_factory):
    """What pip installs of the package, once for all tests."""
    folder = tmp_path_factory.mktemp("acme")
    source = folder / "acme-plugin"
    shutil.copytree(ACME, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    installed = Beside(folder)
    installed.install(source)
    return installed.site


@pytest.fixture
def acme(beside, acme_installed):
    shutil.copytree(acme_installed, beside.site, dirs_exist_ok=True)
    return beside


def test_a_pipeline_uses_its_storage_its_alerter_and_its_step(acme):
    ran = acme.mlopsfw("run")
    assert ran.returncode == 0, ran.stderr
    (line,) = (acme.project / "acme-alerts.jsonl").read_text().splitlines()
    assert json.loads(line)["title"] == "The numbers are in"
    assert (acme.project / "acme.sqlite").stat().st_size > 0
    assert not (acme.project / ".mlopsfw" / "store").exists()
    again = acme.mlopsfw("status", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["steps"]["clean"]["outputs"]["rows"]["meta"]["rows"] == 2
    assert acme.mlopsfw("audit", "verify").returncode == 0


FEATURES = """
import json, sys
import polars as pl
from mlopsfw.project.facade import Project
from acme_mlops.features import FeatureStore

with Project.open() as project:
    people = pl.DataFrame({"customer": ["canary-7d1f0c2e", "bo-55aa10"], "spent": [3, 4]})
    for more in range(3):
        project.datasets.commit("people", people.with_columns(spent=pl.col("spent") + more), "replace")
    store = FeatureStore(project.host("component.features"))
    print(store.build("spending", "data:/people@1", people.to_dicts()))
"""
LEFT = """
from mlopsfw.project.facade import Project
from acme_mlops.features import FeatureStore

with Project.open() as project:
    print(FeatureStore(project.host("component.features")).rows("features:/spending@1"))
"""


def test_its_component_takes_part_in_lineage_retention_erasure_index_doctor_and_gc(acme, monkeypatch):
    monkeypatch.setenv("KEY", "ab" * 32)
    with (acme.project / "mlopsfw.toml").open("a") as file:
        file.write('\n[privacy]\nkey = "env:KEY"\n')

    def answer(*words):
        done = acme.mlopsfw(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    built = subprocess.run([acme.python, "-c", FEATURES], cwd=acme.project, capture_output=True, text=True, check=False)
    assert built.stdout == "features:/spending@1\n", built.stderr
    lineage = json.loads(answer("lineage", "features:/spending", "--json"))
    assert lineage["root"] == "features:/spending@1"
    assert "data:/people@1" in {edge["source"] for edge in lineage["up"]}
    assert lineage["nodes"]["features:/spending@1"]["time"]
    assert "features:/spending@1" in answer("lineage", "data:/people@1")
    assert json.loads(answer("index", "query", "SELECT name, version FROM acme_features", "--json")) == [
        {"name": "spending", "version": 1}
    ]
    (listed,) = json.loads(answer("index", "list", "features", "--json"))
    assert (listed["name"], listed["version"], listed["source"]) == ("spending", 1, "data:/people@1")
    kept = answer("data", "vacuum", "people", "--keep", "1")
    assert "version 1 is kept: features:/spending@1 was computed of it" in kept
    assert "0 of " in answer("gc", "--grace", "0")
    would = answer("data", "forget", "people", "--key", "customer=canary-7d1f0c2e", "--dry-run")
    assert "features features:/spending@1: 1 would be erased" in would
    erased = json.loads(answer("data", "forget", "people", "--key", "customer=canary-7d1f0c2e", "--yes", "--json"))
    assert erased["features"] == {"features:/spending@1": 1}
    outside = [acme.python, "-m", "mlopsfw", "--project", acme.project, "acme-build", "again", "people"]
    again = subprocess.run(outside, cwd=acme.folder, capture_output=True, text=True, check=False)
    assert again.stdout == "features:/again@1\n", again.stderr
    left = subprocess.run([acme.python, "-c", LEFT], cwd=acme.project, capture_output=True, text=True, check=False)
    assert left.stdout == "[{'customer': 'bo-55aa10', 'spent': 4}]\n", left.stderr
    found = json.loads(answer("doctor", "--verify", "--json"))
    assert {each["level"] for each in found if each["check"] == "features"} == {"ok"}
    assert [each for each in found if each["level"] == "error"] == []


def test_its_own_suite_passes_where_it_is_installed(acme, tmp_path):
    out = subprocess.run(
        [acme.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, ACME / "tests"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stdout + out.stderr


INGEST = """
[steps.take]
use = "ingest"
dataset = "counters"
path = "acme://hall-3"

[source.acme]
share = "share"
"""


def test_places_of_its_source_become_a_dataset_by_the_verb_and_by_the_step(acme):
    (acme.project / "share" / "hall-3").mkdir(parents=True)
    for number, name in enumerate(("lathe", "mill"), 7):
        (acme.project / "share" / "hall-3" / f"{name}.csv").write_text(f"machine,name\n{number},{name}\n")
    with (acme.project / "mlopsfw.toml").open("a") as config:
        config.write(INGEST)
    ran = acme.mlopsfw("run")
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(acme.mlopsfw("data", "show", "counters", "--json").stdout)
    assert [row["name"] for row in shown["head"]] == ["lathe", "mill"]
    assert shown["version"]["source"] == "acme://hall-3"
    again = acme.mlopsfw("data", "add", "counters", "acme://hall-3")
    assert again.stdout.startswith("Nothing new"), again.stderr
    lost = acme.mlopsfw("data", "add", "counters", "acme://hall-9")
    assert lost.returncode == 1
    assert "The share has acme://hall-3" in lost.stderr
    assert "raised by plugin" not in lost.stderr
    listed = json.loads(acme.mlopsfw("plugins", "list", "--load", "--json").stdout)
    (row,) = [row for row in listed if row["name"] == "source.acme"]
    assert (row["state"], row["summary"]) == ("ok", "Files that the machines of Acme's halls write")


LEARN = """
[steps.rows]
python = "learn:rows"
outputs = ["rows"]

[trainer]
use = "acme"

[steps.train]
inputs = { train = "rows" }
task = "regression"
target = "delay"
"""
ROWS = """
import polars as pl
def rows():
    hours, carriers = [float(n % 24) for n in range(240)], ["AA", "DL", None] * 80
    return pl.DataFrame({"hour": hours, "carrier": carriers, "delay": [2 * hour + 1 for hour in hours]})
"""


def test_its_trainer_makes_a_model_that_its_runtime_loads_and_each_plugin_can_be_loaded(acme):
    (acme.project / "learn.py").write_text(ROWS)
    with (acme.project / "mlopsfw.toml").open("a") as config:
        config.write(LEARN)
    ran = acme.mlopsfw("run")
    assert ran.returncode == 0, ran.stderr
    listed = json.loads(acme.mlopsfw("plugins", "list", "--load", "--json").stdout)
    ours = {row["name"]: row["state"] for row in listed if row["distribution"].startswith("acme-mlops")}
    assert ours == dict.fromkeys(POINTS, "ok")


def test_the_package_stays_within_600_lines_and_imports_public_names_only(acme):
    lines = {file.name: file.read_text().count("\n") for file in (ACME / "src").rglob("*.py")}
    assert len(lines) > 3
    assert sum(lines.values()) <= 600
    checked = json.loads(acme.mlopsfw("plugins", "check", "acme-mlops", "--json").stdout)
    assert [each for each in checked if not each["ok"]] == []
    assert {each["plugin"] for each in checked} >= set(POINTS)


def test_a_plugin_that_fails_at_import_disturbs_nobody_until_it_is_selected(acme):
    acme.package("bad-import", "raise OSError('no licence')", point="storage.bad")
    assert acme.mlopsfw("run").returncode == 0
    chosen = acme.mlopsfw("--set", "storage.use=bad", "run")
    assert chosen.returncode == 5
    assert "bad-import 2.0" in chosen.stderr
    assert "no licence" in chosen.stderr


def test_a_plugin_that_claims_a_taken_name_is_refused_and_both_are_named(acme):
    acme.package("copycat", "", point="storage.acme")
    ran = acme.mlopsfw("run")
    assert ran.returncode == 5
    assert "acme-mlops 1.2.0" in ran.stderr
    assert "copycat 2.0" in ran.stderr
    listed = acme.mlopsfw("plugins", "list", "--json")
    assert [row["state"] for row in json.loads(listed.stdout) if row["name"] == "storage.acme"] == ["clash", "clash"]
    assert acme.mlopsfw("--set", 'plugins.disabled=["copycat"]', "run").returncode == 0


def test_a_plugin_for_a_newer_mlopsfw_is_refused_with_the_remedy(acme):
    acme.package("from-the-future", "", point="storage.future", group="mlopsfw.v2")
    ran = acme.mlopsfw("--set", "storage.use=future", "run")
    assert ran.returncode == 5
    assert "mlopsfw.v2" in ran.stderr
    assert "pip install --upgrade mlopsfw" in ran.stderr


OBSERVER = """
from mlopsfw import hookimpl
@hookimpl
def mlopsfw_event(event):
    raise RuntimeError("observer fell over on " + event.type)
"""
MID_RUN = """
import msgspec
from mlopsfw import Provider, hookimpl
class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass
class Falling:
    def deliver(self, alert):
        raise ZeroDivisionError("in the middle")
@hookimpl
def mlopsfw_alerters():
    yield Provider("falling", Config, lambda config, host: Falling(), "Falls over")
"""


def test_an_observer_that_raises_in_the_middle_of_a_run_does_not_end_it(acme):
    acme.package("loud-observer", OBSERVER, point="observer.loud")
    ran = acme.mlopsfw("run")
    assert ran.returncode == 0, ran.stderr
    assert "loud-observer 2.0" in ran.stderr


def test_an_alerter_that_raises_in_the_middle_of_a_run_is_named_and_its_alert_is_kept(acme):
    acme.package("falling-alerter", MID_RUN, point="alerter.falling")
    acme.mlopsfw("--set", 'alerter=[{use="falling"}]', "run")
    alerts = json.loads(acme.mlopsfw("alerts", "list", "--json").stdout)
    assert "falling-alerter 2.0" in json.dumps(alerts)
    assert [a["title"] for a in alerts] == ["The numbers are in"]
