"""What ships is whole: the sdist has every source, a wheel built from that sdist has every extension and every plugin."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from functools import partial
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
ASK = "import sys; sys.path.insert(0, sys.argv[1]); from mlopsfw.cli import run; sys.exit(run(sys.argv[2:]))"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def tracked():
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [Path(name) for name in out.decode().split("\0") if name]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """Build the sdist from what git tracks, then the wheel from the sdist alone; both go to MLOPSFW_DIST, where it is set."""
    source = tmp_path_factory.mktemp("source")
    dist = Path(os.environ.get("MLOPSFW_DIST") or tmp_path_factory.mktemp("dist"))
    for name in tracked():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    run = partial(subprocess.run, check=True, capture_output=True, cwd=dist)
    run([sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", dist, source])
    (sdist,) = dist.glob("*.tar.gz")
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", dist, sdist])
    return dist


def names_in(dist, pattern):
    (file,) = dist.glob(pattern)
    if pattern.endswith(".gz"):
        with tarfile.open(file) as tar:
            return {name.partition("/")[2] for name in tar.getnames()}
    with zipfile.ZipFile(file) as wheel:
        return set(wheel.namelist())


def test_the_sdist_has_every_tracked_source(dist):
    ours = {
        str(f)
        for f in tracked()
        if f.parts[0] in {"mlopsfw", "mlopsfw_core", "plugins", "tests", "benchmarks", "examples", "docs"}
    }
    assert ours - names_in(dist, "*.tar.gz") == set()


def test_the_sdist_has_no_generated_file(dist):
    assert [n for n in names_in(dist, "*.tar.gz") if n.endswith((".c", ".so", ".pyc"))] == []


def test_the_wheel_has_an_extension_for_every_pyx(dist):
    names = names_in(dist, "*.whl")
    for source in ROOT.joinpath("mlopsfw_core").rglob("*.pyx"):
        stem = str(source.relative_to(ROOT).with_suffix(""))
        assert any(n.startswith(f"{stem}.") and n.endswith((".so", ".pyd")) for n in names), stem


def test_the_wheel_has_every_package_typed_and_no_test(dist):
    names = names_in(dist, "*.whl")
    packages = {n.partition("/")[0] for n in names if not n.partition("/")[0].endswith(".dist-info")}
    plugins = {p.parent.name for p in (ROOT / "plugins").glob("*/__init__.py")}
    assert packages == {"mlopsfw", "mlopsfw_core"} | plugins
    assert {f"{p}/py.typed" for p in ("mlopsfw", "mlopsfw_core")} <= names


def test_every_entry_point_leads_to_a_module_in_the_wheel(dist):
    (file,) = dist.glob("*.whl")
    with zipfile.ZipFile(file) as wheel:
        (points,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
        lines = wheel.read(points).decode().splitlines()
        modules = [line.split("=")[1].strip().partition(":")[0] for line in lines if "=" in line]
        assert modules
        for module in modules:
            assert {f"{module.replace('.', '/')}/__init__.py", f"{module.replace('.', '/')}.py"} & set(wheel.namelist())


CACHED = "import sys; sys.path[:0] = [{root!r}]; import setup; setup.build({{'tiny': ['-O0']}})"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Return a function: build one module in a folder of its own with a compiler that lists its calls; return what it answers and the calls."""
    common = tmp_path_factory.mktemp("build")
    compiler = common / "cc"
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {common}/calls\nexec gcc "$@"\n')
    compiler.chmod(0o755)
    environment = {"CC": str(compiler), "LDSHARED": f"{compiler} -shared"}

    def build(name, answer, cache=common / "cache"):
        (common / name).mkdir()
        (common / name / "tiny.pyx").write_text(f"def answer(): return {answer}\n")
        run = partial(subprocess.run, check=True, cwd=common / name, capture_output=True, text=True)
        command = [sys.executable, "-c", CACHED.format(root=str(ROOT)), "-q", "build_ext", "--inplace"]
        run(command, env=os.environ | environment | {"MLOPSFW_BUILD_CACHE": str(cache)})
        calls = (common / "calls").read_text().split("\n")
        (common / "calls").write_text("")
        return run([sys.executable, "-c", "import tiny; print(tiny.answer())"]).stdout, [
            c for c in calls if " -c " in c
        ]

    return build


def test_a_second_build_of_the_same_sources_translates_and_compiles_nothing(clone, tmp_path):
    first, calls = clone("first", 42)
    assert (first, len(calls)) == ("42\n", 1)
    assert clone("second", 42) == ("42\n", [])
    other, calls = clone("edited", 43)
    assert (other, len(calls)) == ("43\n", 1)


def test_a_cache_that_cannot_be_written_stops_no_build(clone, tmp_path):
    (tmp_path / "a file").touch()
    built, calls = clone("unwritten", 44, cache=tmp_path / "a file" / "cache")
    assert (built, len(calls)) == ("44\n", 1)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Return the file of the cache in which setup.py looks for a module, in a folder with two modules and a header."""
    (tmp_path / "mlopsfw_core").mkdir()
    for name in ("a.pyx", "b.pyx", "shared.pxd"):
        (tmp_path / "mlopsfw_core" / name).write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOPSFW_BUILD_CACHE", str(tmp_path / "cache"))
    specification = importlib.util.spec_from_file_location("mlopsfw_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return lambda flags="-O2": module.stored("mlopsfw_core.a", [flags])


@pytest.mark.parametrize("changed", ["a.pyx", "shared.pxd", "flags", "CFLAGS"])
def test_a_cached_module_counts_for_its_source_headers_and_flags_alone(stored, monkeypatch, changed):
    before = stored()
    Path("mlopsfw_core/b.pyx").write_text("x = 2\n")
    assert stored() == before, "the source of another module"
    if changed == "CFLAGS":
        monkeypatch.setenv("CFLAGS", "-O0")
    elif changed != "flags":
        Path("mlopsfw_core", changed).write_text("x = 2\n")
    assert stored("-O3" if changed == "flags" else "-O2") != before


def test_a_build_keeps_nothing_where_no_folder_is_named(stored, monkeypatch):
    monkeypatch.delenv("MLOPSFW_BUILD_CACHE")
    assert stored() is None


def closure(names, seen):
    """Return the installed distributions that requirements lead to, without those of extras."""
    for each in map(Requirement, names):
        if (each.marker is None or each.marker.evaluate({"extra": ""})) and each.name not in seen:
            seen[each.name] = distribution(each.name)
            closure(seen[each.name].requires or (), seen)
    return seen


def test_an_installation_without_extras_has_no_packages_of_tables_and_answers(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
        (name,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        needed = message_from_bytes(file.read(name)).get_all("Requires-Dist")
    packages = closure(needed, {})
    assert not {"polars", "pyarrow", "deltalake"} & packages.keys()
    for package in packages.values():
        for part in {file.parts[0] for file in package.files if file.parts[0] not in {"..", "__pycache__"}}:
            (tmp_path / "site" / part).symlink_to(package.locate_file(part))
    project = tmp_path / "project"
    project.mkdir()
    (project / "mlopsfw.toml").write_text("")
    for line in ("status", "runs list", "models list", "alerts list", "audit verify", "plugins list"):
        command = [sys.executable, "-S", "-E", "-s", "-c", ASK, tmp_path / "site", *line.split()]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout, line
