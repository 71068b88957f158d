"""The alerter keeps the promises of its role."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopsfw.roles import Alerter
from mlopsfw.scaffold.alerter import SampleAlerter
from mlopsfw.testing.alerter import AlerterConformance


class TestSampleAlerter(AlerterConformance):
    """A file that can be written is a receiver that listens."""

    @pytest.fixture
    def alerter(self, tmp_path: Path) -> Alerter:
        """Return one whose file can be written."""
        return SampleAlerter(tmp_path / "log")

    @pytest.fixture
    def received(self, tmp_path: Path) -> Callable[[], list[str]]:
        """Return a reader of the ids in the file."""
        return lambda: [record["id"] for record in _records(tmp_path / "log") if "id" in record]

    @pytest.fixture
    def changes(self, tmp_path: Path) -> Callable[[], list[tuple[str, str]]]:
        """Return a reader of what people did about the alerts in the file."""
        log = tmp_path / "log"
        return lambda: [
            (json.loads(log.read_bytes()[int(record["about"]) :].splitlines()[0])["id"], record["change"]["kind"])
            for record in _records(log)
            if "about" in record
        ]

    @pytest.fixture
    def shown(self, tmp_path: Path) -> Callable[[], str]:
        """Return a reader of all texts in the file."""
        return lambda: (tmp_path / "log").read_text(encoding="utf-8").replace("\\n", "\n")

    @pytest.fixture
    def broken(self, tmp_path: Path) -> Alerter:
        """Return one whose folder does not exist."""
        return SampleAlerter(tmp_path / "absent" / "log")


def _records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().splitlines()]
