"""`StepConformance`: what every step promises. A plugin's author subclasses it and overrides three fixtures.

class TestAcmeClean(StepConformance):
    @pytest.fixture
    def provider(self):
        return next(iter(mlopsfw_steps()))

    @pytest.fixture
    def options(self):
        return {"column": "delay"}

    @pytest.fixture
    def inputs(self):
        return {"rows": pl.DataFrame({"delay": [1.0, None, 3.0]})}
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.roles.alerting import Alert
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.engine import Resources
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.pipeline.run.child import GIVEN
from mlopsfw.project.facade import Project
from mlopsfw.project.steps import StepParts
from mlopsfw.testing.children import InlineChildren

_HEAVY = ("numpy", "pyarrow", "polars", "pandas", "torch", "sklearn", "deltalake", "obstore")


@dataclass
class Metrics:
    """The metrics that a step logged."""

    logged: list[tuple[str, float]] = field(default_factory=list)

    def log(self, name: str, value: float, step: float | None = None) -> None:  # noqa: ARG002 - as `MetricSink` has it
        """Keep the metric."""
        self.logged.append((name, value))


class Bench:
    """A step with its options, in a project of its own, where it is run as often as a test likes.

    Args:
        project: The project.
        provider: The step's.
        options: As they stand in the step's table.
    """

    def __init__(self, project: Project, provider: Provider[Step], options: Mapping[str, Any]) -> None:
        self.project, self.name, self.metrics = project, provider.name, Metrics()
        self._options = msgspec.convert(options, provider.config)
        self.step = provider.build(self._options, project.host(f"step.{provider.name}"))
        self._attempts = 0

    def stored(self, inputs: Mapping[str, Any]) -> dict[str, Artifact]:
        """Store the inputs as the steps before would."""
        return {name: self.project.values.store(value, name) for name, value in inputs.items()}

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Artifact]:
        """Make an attempt with these inputs; return what it returned, stored."""
        parts = StepParts(self.project)
        given = parts.get(parts.named(self.step.run, given=1))
        if "children" in given:
            given["children"] = lambda _: InlineChildren(
                lambda child: self.run({**inputs, GIVEN: child}), self.project.root
            )
        values = self.step.run(self._context(inputs), **given)
        assert set(values) == set(self.step.outputs), "a step returns exactly its outputs"
        return self.stored({name: value for name, value in values.items() if GIVEN not in inputs or value is not None})

    def load(self, artifact: Artifact) -> Any:
        """Return a value that an attempt returned."""
        return self.project.values.load(artifact)

    @property
    def alerts(self) -> list[Alert]:
        """The alerts that the step raised."""
        return [state.alert for state in self.project.alerts.outbox().alerts.values()]

    def _context(self, inputs: Mapping[str, Any]) -> StepContext:
        self._attempts += 1
        folder = self.project.private_folder("conformance", str(self._attempts))
        scratch, checkpoints = folder / "scratch", folder / "checkpoints"
        scratch.mkdir()
        checkpoints.mkdir()
        project = self.project
        return StepContext(
            run="0" * 26,
            step=self.name,
            attempt=self._attempts,
            inputs=self.stored(inputs),
            params=msgspec.to_builtins(self._options),
            resources=Resources(),
            scratch=scratch,
            checkpoints=checkpoints,
            datasets=project.datasets,
            models=project.registry,
            blobs=project.blobs,
            values=project.values,
            metrics=self.metrics,
            progress_file=folder / "progress.json",
        )


class StepConformance:
    """Conformance of a step: its record, its options, what it returns, and that the cache may trust it."""

    @pytest.fixture
    def provider(self) -> Provider[Step]:
        """Override: what the plugin's `mlopsfw_steps` yields."""
        raise NotImplementedError("override the fixture `provider`")

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        """Override where the step has options that it cannot do without."""
        return {}

    @pytest.fixture
    def inputs(self) -> Mapping[str, Any]:
        """Override where the step has inputs: a value that it can be run with for each of them."""
        return {}

    @pytest.fixture
    def project(self, tmp_path: Path) -> Iterator[Project]:
        """Return a project. Override it where the step needs something in it, such as a dataset."""
        folder = tmp_path / "conformance"
        folder.mkdir()
        with Project(folder, ProjectConfig(name="conformance")) as project:
            yield project

    @pytest.fixture
    def bench(self, project: Project, provider: Provider[Step], options: Mapping[str, Any]) -> Bench:
        """Return the step on its bench."""
        return Bench(project, provider, options)

    def test_its_options_are_a_frozen_record_that_refuses_unknown_keys(
        self, provider: Provider[Step], options: Mapping[str, Any]
    ) -> None:
        assert provider.config.__struct_config__.frozen
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**options, "no-such-option": 1}, provider.config)

    def test_it_is_described_in_one_line(self, provider: Provider[Step]) -> None:
        assert provider.summary
        assert "\n" not in provider.summary

    def test_importing_its_module_imports_nothing_heavy(self, provider: Provider[Step]) -> None:
        code = f"import sys, {provider.config.__module__}; print([m for m in {_HEAVY} if m in sys.modules])"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert out.strip() == "[]", "import what is heavy inside functions"

    def test_it_names_only_parts_that_a_step_can_have(self, bench: Bench) -> None:
        parts = StepParts(bench.project)
        parts.named(bench.step.run, given=1)
        parts.named(bench.step.facts)

    def test_its_inputs_are_the_ones_that_it_asks_for(self, bench: Bench, inputs: Mapping[str, Any]) -> None:
        step = bench.step
        assert set(step.inputs) <= set(inputs)
        assert step.variadic or set(inputs) <= {*step.inputs, *step.optional}
        assert set(step.each or ()) <= {*step.inputs, *step.optional}

    def test_it_returns_exactly_its_outputs_and_each_can_be_stored(
        self, bench: Bench, inputs: Mapping[str, Any]
    ) -> None:
        assert set(bench.run(inputs)) == set(bench.step.outputs)
        assert all(math.isfinite(value) for _, value in bench.metrics.logged)

    def test_equal_inputs_give_equal_outputs_if_they_may_be_cached(
        self, bench: Bench, inputs: Mapping[str, Any]
    ) -> None:
        if bench.step.cacheable:
            assert bench.run(inputs) == bench.run(inputs)

    def test_a_version_of_a_dataset_is_taken_as_a_table_is(self, bench: Bench, inputs: Mapping[str, Any]) -> None:
        tables = {name: rows for name, rows in inputs.items() if isinstance(rows, pl.DataFrame) and rows.height}
        if not tables or not bench.step.cacheable:
            pytest.skip("the step takes no table, or its point is its effect")
        commit = bench.project.datasets.commit
        versions = {
            name: commit(f"kit-{number}", rows, "replace").artifact()
            for number, (name, rows) in enumerate(tables.items())
        }
        of_tables, of_versions = bench.run(inputs), bench.run({**inputs, **versions})
        assert {name: each.meta.get("rows") for name, each in of_tables.items() if each.kind == "table"} == {
            name: of_versions[name].meta.get("rows") for name, each in of_tables.items() if each.kind == "table"
        }

    def test_parts_of_its_input_give_what_the_whole_gives(self, bench: Bench, inputs: Mapping[str, Any]) -> None:
        for name in bench.step.each or ():
            whole, rows = bench.run(inputs), inputs[name]
            halves = [bench.run({**inputs, name: half}) for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :])]
            for output, artifact in whole.items():
                loaded = [bench.project.values.load(half[output], pl.DataFrame) for half in halves]
                assert bench.stored({output: pl.concat(loaded)})[output].digest == artifact.digest
