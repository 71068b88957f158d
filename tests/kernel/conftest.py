"""A workbench for pipelines: write a project, edit it, run it, ask what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopsfw.pipeline.display import Display
from mlopsfw.pipeline.fingerprint import Fingerprinter
from mlopsfw.pipeline.graph import build_graph
from mlopsfw.pipeline.sitting import Outcome, latest, resume_run, run_pipeline
from mlopsfw.project import Project


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
            return run_pipeline(project, Display(project, None), **options)

    def resume(self, run: str = "", **options: Any) -> Outcome:
        with self.open() as project:
            return resume_run(project, Display(project, None), latest(project, run), **options)

    def ran(self, run: str = "latest") -> list[str]:
        """Return the steps that ran, rather than being taken from the cache."""
        with self.open() as project:
            return [step.name for step in project.runs.get(run).steps.values() if step.status == "done"]

    def value(self, outcome: Outcome, step: str, output: str = "result") -> Any:
        from mlopsfw.pipeline.values import load

        with self.open() as project:
            return load(project, outcome.outputs[step][output])

    def key(self, step: str = "a") -> str:
        with self.open() as project:
            return Fingerprinter(project).fingerprint(build_graph(project.config).nodes[step], {}).key

    def events(self, run: str) -> list[str]:
        with self.open() as project:
            return [event.type for event in project.ledger.stream(f"run/{run}").events()]


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """An empty workbench."""
    return Workbench(tmp_path / "bench")
