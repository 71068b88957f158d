"""What every test may use: a project in a folder of its own, and a browser that tells what a page made it do."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import settings

from mlopsfw.data.intake.formats import Formats
from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.pipeline.run.display import Display
from mlopsfw.pipeline.run.outcome import Outcome
from mlopsfw.project.facade import Project

settings.register_profile("push", deadline=None, max_examples=50)  # a busy machine is no failure
settings.register_profile("nightly", deadline=None, max_examples=1000)

os.environ["MLOPSFW_SYSTEM_METRICS"] = (
    "0"  # a run that a busy machine draws out has the numbers that it logs, and no others
)

_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30
_DISK = os.environ.setdefault("MLOPSFW_TEST_DISK", tempfile.gettempdir())  # a worker has it from its coordinator


def _has_room(folder: Path) -> bool:
    """Tell whether a folder can hold what the tests write: it has room, and programs in it may be executed."""
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    noexec = os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0)
    return not noexec and shutil.disk_usage(folder).free >= _ROOM


if not os.environ.get("TMPDIR") and _has_room(_MEMORY):  # most of the suite's time was fsync
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The test's folder: in memory where the system has such a file system, on the disk for a test that is marked `disk`."""
    if request.node.get_closest_marker("disk") is None:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="pytest-", dir=_DISK) as folder:
        yield Path(folder)


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Return a maker of projects: `make_project('[steps.a]\\npython = "a:run"', a='def run(): return 1')`."""
    projects: list[Project] = []

    def make(toml: str = "", **modules: str) -> Project:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        head = "" if "[project]" in toml else '[project]\nname = "testproject"\n\n'
        (folder / "mlopsfw.toml").write_text(head + toml, encoding="utf-8")
        for name, source in modules.items():
            (folder / f"{name}.py").write_text(source, encoding="utf-8")
        projects.append(Project.open(folder))
        return projects[-1]

    yield make
    for project in projects:
        project.close()


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project that says nothing but its name."""
    return make_project()


@pytest.fixture(scope="session")
def formats() -> Formats:
    """The formats that are installed, as a verb outside any project has them."""
    return Project.open(config=ProjectConfig(name="outside")).providers.formats


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Return an installer of distributions: `install_plugin(source, "observer.acme")`; it returns the module's name.

    Its folder is first on the path of this process and of those that it starts.
    """
    site = tmp_path / "site"
    installed: list[str] = []

    def install(source: str, *points: str) -> str:
        number = len(installed)
        module = f"acme_mlops_{number}_{tmp_path.name[-40:].replace('-', '_')}"
        info = site / f"acme_mlops_{number}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-mlops-{number}\nVersion: 1.2\n")
        lines = "".join(f"{point} = {module}\n" for point in points)
        (info / "entry_points.txt").write_text(f"[mlopsfw.v1]\n{lines}")
        (site / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        installed.append(module)
        importlib.invalidate_caches()  # a folder's listing is kept as long as its time does not change
        return module

    monkeypatch.syspath_prepend(site)
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    monkeypatch.setenv("PYTHONPATH", path)
    yield install
    for module in installed:
        sys.modules.pop(module, None)


_FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"


@dataclass
class Browser:
    """A real browser, and a server on this machine that notes what a page fetches.

    Args:
        folder: Where pages and profiles go.
        url: The server's.
        asked: Which paths it was asked for.
    """

    folder: Path
    url: str
    asked: list[str] = field(default_factory=list)

    def open(self, page: str, fragment: str = "") -> str:
        """Return the document as it is once everything has loaded and run. A fragment stands after `#` in its address."""
        number = len(list(self.folder.glob("*.html")))
        file = self.folder / f"{number}.html"
        file.write_text(page, encoding="utf-8")
        words = ["chromium", *_FLAGS.split(), f"--user-data-dir={self.folder / f'profile{number}'}", "--dump-dom"]
        return subprocess.run(
            [*words, f"{file.as_uri()}#{quote(fragment)}"], capture_output=True, text=True, check=True, timeout=100
        ).stdout  # fmt: skip


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser without a past."""
    if shutil.which("chromium") is None:
        pytest.skip("Debian's chromium is not installed")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Browser(tmp_path / "browser", f"http://127.0.0.1:{server.server_port}")
    made.folder.mkdir()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


class Workbench:
    """A project in a folder, opened anew for every question, as a command would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir()

    def write(self, toml: str = "", files: dict[str, str] | None = None, **modules: str) -> Workbench:
        """Write mlopsfw.toml (if given), modules by name, and files by path."""
        if toml:
            (self.root / "mlopsfw.toml").write_text(f'[project]\nname = "bench"\n\n{toml}', encoding="utf-8")
        for name, source in {**(files or {}), **{f"{name}.py": text for name, text in modules.items()}}.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8")
        return self

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def open(self, **options: Any) -> Project:
        return Project.open(self.root, **options)

    def run(self, **options: Any) -> Outcome:
        with self.open(overrides=options.get("overrides", ())) as project:
            return project.pipeline.start(Display(project.workspace, None), **options)

    def resume(self, run: str = "", **options: Any) -> Outcome:
        with self.open() as project:
            return project.pipeline.resume(Display(project.workspace, None), project.pipeline.latest(run), **options)

    def ran(self, run: str = "latest") -> list[str]:
        """Return the steps that ran, rather than being taken from the cache."""
        with self.open() as project:
            return [step.name for step in project.runs.get(run).steps.values() if step.status == "done"]

    def value(self, outcome: Outcome, step: str, output: str = "result") -> Any:

        with self.open() as project:
            return project.values.load(outcome.outputs[step][output])

    def key(self, step: str = "a") -> str:
        with self.open() as project:
            return project.pipeline.fingerprinter().fingerprint(project.pipeline.graph.nodes[step], {}).key

    def events(self, run: str) -> list[str]:
        with self.open() as project:
            return [event.type for event in project.ledger.stream(f"run/{run}").events()]


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """An empty workbench."""
    return Workbench(tmp_path / "bench")


def by_night(config):
    """Tell whether the nightly tier runs."""
    return "nightly" in config.getoption("markexpr", "")


def pytest_configure(config):
    """Choose how many examples a hypothesis law draws; `--hypothesis-profile` names another profile."""
    settings.load_profile("nightly" if by_night(config) else "push")


def pytest_collection_modifyitems(config, items):
    """Leave out what is `nightly` where nobody asks for it; give the long files to the workers first, so that none is left over at the end.

    The laws of hypothesis belong to both tiers; the profile says how many examples each draws.
    """
    if by_night(config):
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker(pytest.mark.nightly)
    else:
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        items[:] = [item for item in items if item not in nightly]
        config.hook.pytest_deselected(items=nightly)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.getparent(pytest.Module).get_closest_marker("slow") is None)
