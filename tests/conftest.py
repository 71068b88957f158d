"""What every test may use: a project in a folder of its own, and no way for one test to reach another's plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlopsfw.project import Project


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Return a maker of projects: `make_project('[steps.a]\\npython = "a:run"', a='def run(): return 1')`."""
    opened: list[Project] = []

    def make(toml: str = "", **modules: str) -> Project:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        head = "" if "[project]" in toml else '[project]\nname = "testproject"\n\n'
        (folder / "mlopsfw.toml").write_text(head + toml, encoding="utf-8")
        for name, source in modules.items():
            (folder / f"{name}.py").write_text(source, encoding="utf-8")
        opened.append(Project.open(folder))
        return opened[-1]

    yield make
    for project in opened:
        project.close()


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project that says nothing but its name."""
    return make_project()
