"""The page of what must never happen names tests that exist, and each of its rows names one or says why there is none."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| must not")]


def test_every_test_that_the_page_names_exists():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 100
    lost = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (TESTS / file).read_text("utf-8")]
    assert lost == []


def test_every_row_names_a_test_or_the_part_that_is_to_come():
    assert [row for row in ROWS if "::test_" not in row and "With the " not in row] == []
