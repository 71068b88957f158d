"""The component keeps the promises of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlopsfw import Project, Provider
from mlopsfw.components import Component
from mlopsfw.roles import Host
from mlopsfw.scaffold.component import SampleHolds, mlopsfw_components
from mlopsfw.testing.component import ComponentConformance, Fill


class TestSampleComponent(ComponentConformance):
    """One hold, on the version that the kit commits."""

    @pytest.fixture
    def provider(self) -> Provider[Component]:
        """Return what the plugin offers."""
        return next(iter(mlopsfw_components()))

    @pytest.fixture
    def fill(self) -> Fill:
        """Return what puts a version on hold."""

        def fill(host: Host, source: str, _rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
            SampleHolds(host).hold("audit", source)
            return ["sample:/audit"]

        return fill


def test_a_hold_that_is_released_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    with Project.open(tmp_path) as project:
        project.datasets.commit("people", pl.DataFrame({"n": [1]}), "replace")
        holds = SampleHolds(project.host("component.sample"))
        holds.hold("audit", "data:/people@1")
        assert list(holds.needs("people")) == [(1, "the hold audit keeps it")]
        holds.hold("audit", "")
        assert list(holds.needs("people")) == []
