"""Lets the core's tests share `core_samples`, which pytest's importlib mode keeps off the path; names hypothesis's profiles."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# Under a sanitizer everything is several times slower, and every example touches the same memory.
settings.register_profile("sanitized", max_examples=25, deadline=None)
