"""A step runs its source: a `.pyc` beside it that Python would trust, though it is of the code before an edit, is not read."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from mlopsfw.cli import run as cli
from mlopsfw.pipeline.run.source_imports import SourceImports
from mlopsfw.project.facade import Project

TOML = '[engine.local]\nworkers = 1\n[steps.a]\npython = "{step}"\n'
STEP = "def run(): return VALUE\n"
PLUGIN = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Step
class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass
@hookimpl
def mlopsfw_steps():
    yield Provider("count", Config, lambda c, host: Step(run=lambda context: {"result": VALUE}), "Count")
"""


def leave_bytecode(file: Path, text: str, old: str, new: str) -> None:
    """Write a module, have it compiled, and edit it within its second and to the same size."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace("VALUE", old))
    compiled = py_compile.compile(str(file), doraise=True)
    times = file.stat()
    file.write_text(text.replace("VALUE", new))
    for each in (file, compiled):  # on a busy machine the second passes meanwhile
        os.utime(each, ns=(times.st_atime_ns, times.st_mtime_ns))


def result(root: Path) -> object:
    assert cli(["--project", str(root), "run"]) == 0
    with Project.open(root) as project:
        (value,) = project.runs.get("latest").steps["a"].outputs.values()
        return project.values.load(value)


CODE = {
    "a module": ("work.py", "work:run", {}),
    "a package": ("work/__init__.py", "work:run", {}),
    "a module of a package": ("work/parts/one.py", "work.parts.one:run", {}),
    "an import at the top": ("near.py", "work:run", {"work.py": "from near import run\n"}),
    "an import within the step": (
        "near.py",
        "work:run",
        {"work.py": "def run():\n    import near\n    return near.run()\n"},
    ),
    "a module in a folder of code": ("src/work.py", "work:run", {}),
}


@pytest.mark.parametrize(("file", "step", "others"), CODE.values(), ids=CODE)
def test_a_step_runs_the_source_of_the_project_whatever_bytecode_lies_beside_it(file, step, others, make_project):
    project = make_project('[project]\nname = "p"\ncode = [".", "src"]\n' + TOML.format(step=step))
    leave_bytecode(project.root / file, STEP, "1", "2")
    for name, text in others.items():
        (project.root / name).write_text(text)
    folder = project.root / ("src" if file.startswith("src") else ".")
    module, _, function = step.partition(":")
    trusted = subprocess.run(
        [sys.executable, "-c", f"import {module} as m; print(m.{function}())"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert trusted.stdout == "1\n"  # Python itself takes the old code
    assert result(project.root) == 2


@pytest.mark.parametrize("how", ["by its folder", "by an import hook"])
def test_a_step_runs_the_source_of_an_editable_installation(how, make_project, tmp_path, monkeypatch):
    project = make_project(TOML.format(step="acme_edited.building:run"))
    checkout, site = tmp_path / "checkout", tmp_path / "env" / "site-packages"
    (checkout / "acme_edited").mkdir(parents=True)
    (checkout / "acme_edited" / "__init__.py").write_text("")
    leave_bytecode(checkout / "acme_edited" / "building.py", STEP, "1", "2")
    info = site / "acme_edited-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-edited\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("acme_edited\n")
    (info / "RECORD").write_text("acme_edited-1.0.dist-info/METADATA,sha256=d,1\n")
    hook = (
        "import sys\nfrom importlib.machinery import PathFinder\n"
        "class Finder:\n    @classmethod\n    def find_spec(cls, name, path=None, target=None):\n"
        f"        return PathFinder.find_spec(name, [{str(checkout)!r}]) if name == 'acme_edited' else None\n"
        "sys.meta_path.append(Finder)\n"
    )
    paths = [site, *([checkout] if how == "by its folder" else [])]
    if how == "by an import hook":
        (site / "sitecustomize.py").write_text(hook)
        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        exec(hook, {})
    for path in paths:
        monkeypatch.syspath_prepend(str(path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")]))
    assert result(project.root) == 2


def test_a_plugin_of_the_project_is_its_source_here_and_in_workers(make_project):
    toml = '[plugins]\nmodules = ["edited_plugins"]\n[engine.local]\nworkers = 1\n[steps.a]\nuse = "count"\n'
    project = make_project(toml)
    leave_bytecode(project.root / "edited_plugins.py", PLUGIN, "1", "2")
    try:
        assert result(project.root) == 2
    finally:
        sys.modules.pop("edited_plugins", None)


def test_a_step_of_an_installed_plugin_is_its_source_in_workers(install_plugin, make_project, tmp_path):
    module = install_plugin(PLUGIN.replace("VALUE", "1"), "step.count")
    leave_bytecode(tmp_path / "site" / f"{module}.py", PLUGIN, "1", "2")
    assert result(make_project('[engine.local]\nworkers = 1\n[steps.a]\nuse = "count"\n').root) == 2


def test_an_attempt_writes_no_bytecode_of_the_project_and_leaves_the_import_system_as_it_was(make_project):
    project = make_project(TOML.format(step="work:run"), work=STEP.replace("VALUE", "3"))
    finders = list(sys.meta_path)
    assert result(project.root) == 3
    assert sys.meta_path == finders
    assert not (project.root / "__pycache__").exists()


@pytest.mark.parametrize("packages", [[], ["acme"]])
def test_a_module_without_a_file_is_edited_only_where_its_package_is(tmp_path, monkeypatch, packages):
    """The current folder, which is what an empty path resolves to, lies in the code."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    imports = SourceImports([str(tmp_path)])
    imports.packages.extend(packages)
    assert not imports.covers("builtins_like", "")
    assert imports.covers("acme.namespace", "") is bool(packages)
    assert imports.covers("work", str(tmp_path / "work.py"))


def test_libraries_keep_their_bytecode(tmp_path, monkeypatch):
    """Without it every worker would compile Polars or torch anew."""
    library, own = tmp_path / "site-packages", tmp_path / "code"
    for folder, name in ((library, "a_library_here"), (own, "own_code_here")):
        leave_bytecode(folder / f"{name}.py", "number = VALUE\n", "1", "2")
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "meta_path", [SourceImports([str(own)]), *sys.meta_path])
    import a_library_here
    import own_code_here

    assert (a_library_here.number, own_code_here.number) == (1, 2)
    assert a_library_here.__cached__ == cache_from_source(a_library_here.__file__)
    for name in ("a_library_here", "own_code_here"):
        del sys.modules[name]


def test_a_module_is_looked_for_once_however_many_projects_are_open(tmp_path, monkeypatch):
    asked = []

    class Last:
        def find_spec(self, name, path=None, target=None):
            asked.append(name)

    finders = [SourceImports([str(tmp_path / str(number))]) for number in range(40)]
    monkeypatch.setattr(sys, "meta_path", [*finders, Last()])
    assert finders[0].find_spec("no_such_module") is None
    assert asked == ["no_such_module"]


def test_code_of_any_open_project_is_read_from_its_source(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"module_{name}.py").write_text("x = 1")
        monkeypatch.syspath_prepend(str(tmp_path / name))
    finders = [SourceImports([str(tmp_path / name)]) for name in ("one", "two")]
    monkeypatch.setattr(sys, "meta_path", [*finders, *sys.meta_path])
    for name in ("one", "two"):
        assert type(finders[0].find_spec(f"module_{name}").loader).__name__ == "_FromSource"


@pytest.mark.parametrize("folder", ["project", "elsewhere"])
def test_a_step_in_this_process_runs_the_source_though_a_module_of_its_name_was_imported_before(
    folder, bench, tmp_path, monkeypatch
):
    bench.write('[steps.a]\npython = "noted.steps:run"\n')
    text = "def run(): return {}\n"
    here = tmp_path / "elsewhere" if folder == "elsewhere" else bench.root
    for each in {here, bench.root}:
        (each / "noted").mkdir(parents=True)
        (each / "noted/steps.py").write_text(text.format(1))
    monkeypatch.syspath_prepend(here)
    from noted import steps as imported

    (bench.root / "noted/steps.py").write_text(text.format(22))
    try:
        assert bench.value(bench.run(debug=True), "a") == 22
        assert sys.modules["noted.steps"] is imported
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "noted"]:
            del sys.modules[name]


def test_a_module_that_this_process_imported_from_unchanged_source_is_the_one_that_a_step_has(bench):
    bench.write('[plugins]\nmodules = ["kept_plugins"]\n[steps.a]\npython = "works:run"\n')
    (bench.root / "kept_plugins.py").write_text("from mlopsfw import hookimpl\n")
    (bench.root / "works.py").write_text("def run():\n    import kept_plugins\n    return id(kept_plugins)\n")
    with bench.open() as project:
        assert project.plugins
        import kept_plugins

        try:
            assert bench.value(bench.run(debug=True), "a") == id(kept_plugins)
        finally:
            del sys.modules["kept_plugins"]
