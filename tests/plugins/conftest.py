"""Lets the plugins' tests share `bundles`, `drift_windows`, `receiver`, `serving` and `thread_peers`, which pytest's importlib mode keeps off the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from receiver import Receiver


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()
