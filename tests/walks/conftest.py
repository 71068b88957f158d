"""Lets these tests share `recorder`, and `bundles` of the plugins' tests, which pytest's importlib mode keeps off the path."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "plugins")]
