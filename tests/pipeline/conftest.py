"""Keeps the folders of other tests out of the code of a project."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_folders_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take from `sys.path` what other tests put there: a fingerprint would read it as code of the project."""
    tests, written = Path(__file__).parents[1], Path(tempfile.gettempdir()).resolve()
    monkeypatch.syspath_prepend(tests)  # saves the whole path, and restores it whatever a test prepends later
    places = {folder: Path(folder).resolve() for folder in sys.path}
    sys.path[:] = [
        folder for folder, place in places.items() if not (place.is_relative_to(tests) or place.is_relative_to(written))
    ]
