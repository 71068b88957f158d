"""The secret store keeps the promises of its role."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlopsfw.roles import SecretStore
from mlopsfw.scaffold.secrets import SampleStore
from mlopsfw.testing.secrets import SecretsConformance


class TestSampleStore(SecretsConformance):
    """The file lies in the test's folder."""

    @pytest.fixture
    def write(self, tmp_path: Path) -> Callable[[str, str], None]:
        """Return what keeps a secret under a target."""
        file = tmp_path / "secrets.json"

        def write(target: str, value: str) -> None:
            fields = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
            file.write_text(json.dumps({**fields, target: value}), encoding="utf-8")

        return write

    @pytest.fixture
    def store(self, tmp_path: Path) -> SecretStore:
        """Return the store."""
        return SampleStore(tmp_path / "secrets.json")

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> SecretStore:
        """Return a store whose file is not there."""
        return SampleStore(tmp_path / "nowhere" / "secrets.json")
