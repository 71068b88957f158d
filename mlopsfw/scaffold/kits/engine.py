"""The engine keeps the promises of its role."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlopsfw import Project
from mlopsfw.roles import Engine
from mlopsfw.scaffold.engine import SampleEngine
from mlopsfw.testing.engine import EngineConformance


class TestSampleEngine(EngineConformance):
    """The kit's project runs on the engine."""

    @pytest.fixture
    def engine(self, project: Project) -> Iterator[Engine]:
        """Yield an engine of two slots."""
        engine = SampleEngine(2, project.root)
        yield engine
        engine.close()
