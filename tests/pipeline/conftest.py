"""Keeps the folders of tests out of the code of a project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_folders_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take from `sys.path` what the conftests of other folders put there: a fingerprint would read all tests as code of the project."""
    tests = Path(__file__).parents[1]
    monkeypatch.syspath_prepend(tests)  # saves the whole path, and restores it whatever a test prepends later
    sys.path[:] = [folder for folder in sys.path if not Path(folder).resolve().is_relative_to(tests)]
