"""Steps that are functions of an installed package: found, checked, run, and keyed by what is installed."""

from __future__ import annotations

import os
import py_compile
import re
import sys

import pytest

from mlopsfw.errors import ConfigError
from mlopsfw.pipeline.run.display import Display

FILES = {
    "__init__.py": "from acme_features.building import build\n",
    "building.py": "from acme_features.rates import rate\ndef build(x=1):\n    return rate() * x\ndef unused():\n    return 0\n",
    "rates.py": "def rate():\n    return 2\n",
    "settings.json": "{}",
}
RECORD = "".join(f"acme_features/{name},sha256={name},1\n" for name in FILES) + "acme_shared/core.py,sha256=c,1\n"
FINDER = """
import sys
from importlib.machinery import PathFinder
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{folder!r}]) if name == "acme_features" else None
sys.meta_path.append(Finder)
"""
TOML = '[engine.local]\nworkers = 1\n[steps.a]\npython = "acme_features.building:build"\n'
HOWS = ["installed", "editable by its folder", "editable by an import hook"]


class Installation:
    """The distribution acme-features 1.2, installed in one way here and in the processes that this one starts."""

    def __init__(self, how, tmp_path, monkeypatch):
        site = tmp_path / "env" / "site-packages"
        self.code = (site if how == "installed" else tmp_path / "checkout") / "acme_features"
        self.code.mkdir(parents=True)
        for name, text in FILES.items():
            (self.code / name).write_text(text)
        info = site / "acme_features-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-features\nVersion: 1.2\n")
        (info / "top_level.txt").write_text("acme_features\n")
        self.record = info / "RECORD"
        self.record.write_text(RECORD if how == "installed" else "acme_features-1.2.dist-info/METADATA,sha256=d,1\n")
        self.without = os.environ.get("PYTHONPATH", "")
        paths = [site, *([self.code.parent] if how == "editable by its folder" else [])]
        for path in paths:
            monkeypatch.syspath_prepend(str(path))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")]))
        if how == "editable by an import hook":
            finder = FINDER.format(folder=str(self.code.parent))
            (site / "sitecustomize.py").write_text(finder)
            monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
            exec(finder, {})

    def edit(self, name, old, new):
        text = (self.code / name).read_text()
        assert old in text
        (self.code / name).write_text(text.replace(old, new))


@pytest.fixture(params=HOWS)
def acme(request, tmp_path, monkeypatch):
    yield Installation(request.param, tmp_path, monkeypatch)
    for name in [name for name in sys.modules if name.startswith("acme_features")]:
        del sys.modules[name]


def test_it_runs_by_the_module_that_has_it_or_that_passes_it_on(bench, acme):
    toml = TOML + '[steps.b]\npython = "acme_features:build"\ninputs = { x = "a" }\n'
    outcome = bench.write(toml).run()
    assert (bench.value(outcome, "a"), bench.value(outcome, "b")) == (2, 4)
    bench.run()
    assert bench.ran() == []
    assert "acme_features" not in sys.modules  # the coordinator reads it, and imports nothing


def test_an_edit_of_what_it_reaches_runs_it_again_also_on_a_worker_that_imported_it(bench, acme):
    with bench.write(TOML).open() as project:
        first = project.pipeline.start(Display(project.workspace, None))
        acme.edit(
            "rates.py", "return 2", "return 2 + 1"
        )  # Python takes bytecode for the source's of equal second and size
        again = project.pipeline.start(Display(project.workspace, None))
        assert project.runs.get(again.run).steps["a"].status == "done"
        assert [project.values.load(o.outputs["a"]["result"]) for o in (first, again)] == [2, 3]


@pytest.mark.parametrize("when", ["in a process that goes on", "in a new process"])
def test_an_edit_of_equal_second_and_size_runs_although_python_takes_the_bytecode_for_it(bench, acme, when):
    file = acme.code / "rates.py"
    times = file.stat()
    compiled = py_compile.compile(str(file), doraise=True)
    os.utime(compiled, ns=(times.st_atime_ns, times.st_mtime_ns))
    with bench.write(TOML).open() as project:
        first = project.pipeline.start(Display(project.workspace, None))
        acme.edit("rates.py", "2", "3")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        if when == "in a process that goes on":
            again = project.pipeline.start(Display(project.workspace, None))
            assert [project.values.load(o.outputs["a"]["result"]) for o in (first, again)] == [2, 3]
    assert bench.value(bench.run(), "a") == 3


@pytest.mark.parametrize("name", ["rates.py", "building.py", "settings.json"])
def test_an_edit_at_the_same_version_changes_the_key(bench, acme, name):
    before = bench.write(TOML).key()
    assert bench.key() == before
    acme.edit(name, *{"rates.py": ("2", "3"), "building.py": ("* x", "+ x"), "settings.json": ("{}", "[]")}[name])
    assert bench.key() != before


def test_a_comment_and_a_function_that_it_does_not_reach_change_nothing(bench, acme):
    before = bench.write(TOML).key()
    acme.edit("building.py", "return 0", "return 1  # as in the paper")
    assert bench.key() == before


@pytest.mark.parametrize("acme", ["installed"], indirect=True)
def test_a_reinstallation_of_equal_version_with_other_files_changes_the_key(bench, acme):
    before = bench.write(TOML).key()
    acme.record.write_text(RECORD.replace("sha256=c", "sha256=other"))
    assert bench.key() != before


@pytest.mark.parametrize("acme", ["installed"], indirect=True)
def test_why_names_the_package_and_what_changed_in_it(bench, acme):
    bench.write(TOML).run()
    acme.edit("rates.py", "2", "3")
    with bench.open() as project:
        (planned,) = project.pipeline.plan()
    assert any(re.match(r"code: acme_features\.rates\.rate changed \(.*rates\.py\)", line) for line in planned.reasons)
    assert any("package.acme_features: 'acme-features 1.2, code" in line for line in planned.reasons)


@pytest.mark.parametrize(
    ("python", "says", "hint"),
    [
        ("acme_feature.building:build", "no installed package 'acme_feature'", "pip install acme_feature"),
        ("acme_features.bilding:build", r"has no module 'acme_features\.bilding'", "'acme_features.building'"),
        ("acme_features.building:biuld", r"building\.py has no 'biuld'", "'build'"),
    ],
)
@pytest.mark.parametrize("acme", ["installed", "editable by an import hook"], indirect=True)
def test_what_is_missing_is_named_with_what_to_install_before_anything_runs(bench, acme, python, says, hint):
    bench.write(TOML.replace("acme_features.building:build", python))
    for attempt in (bench.run, bench.key):
        with pytest.raises(ConfigError, match=says) as caught:
            attempt()
        assert "mlopsfw.toml:7: steps.a.python" in str(caught.value)
        assert hint in caught.value.hint


def test_its_wiring_is_checked_against_its_parameters(bench, acme):
    bench.write(TOML + "params = { y = 1 }\n")
    with pytest.raises(ConfigError, match="build takes no 'y'"):
        bench.run()


def test_a_module_of_the_project_comes_before_an_installed_one(bench, acme):
    mine = {"acme_features/__init__.py": "", "acme_features/building.py": "def build():\n    return 'mine'\n"}
    outcome = bench.write(TOML, files=mine).run()
    assert bench.value(outcome, "a") == "mine"


def test_a_worker_that_lacks_the_package_says_what_to_install(bench, acme, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", acme.without)
    outcome = bench.write(TOML).run()
    assert outcome.failure.type == "UsageError"
    assert "there is no module 'acme_features'" in outcome.failure.message
    assert "install the package that provides 'acme_features'" in outcome.failure.message


def test_the_python_form_takes_it_as_a_function(bench, acme):
    import acme_features.building

    from mlopsfw import Pipeline

    pipeline = Pipeline(bench.write("").write("[engine.local]\nworkers = 1\n").root)
    step = pipeline.step(acme_features.building.build, params={"x": 5})
    outcome = pipeline.run(quiet=True)
    assert outcome.status == "done"
    assert pipeline.config.steps[step.reference].python == "acme_features.building:build"
