"""The storage keeps the promises of its role."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsfw.roles import Storage
from mlopsfw.scaffold.storage import SampleStorage
from mlopsfw.testing.storage import StorageConformance


class TestSampleStorage(StorageConformance):
    """The storage begins empty."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        """Return an empty one."""
        return SampleStorage(tmp_path / "sample.sqlite")
