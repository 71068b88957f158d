"""The pages of docs/reference are what the code says, and say something of each option."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def generator():
    sys.path.insert(0, str(ROOT / "ci"))
    try:
        spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "ci" / "reference_pages.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "ci"))
    return module


PAGES = generator().pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name):
    page = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert page == PAGES[name], "run: python ci/reference_pages.py"


def test_the_names_that_a_trainer_needs_of_features_stand_with_their_signatures():
    listed = re.findall(
        r"`features\.\w+\.([a-z]\w+)`", (ROOT / "docs" / "writing-plugins.md").read_text(encoding="utf-8")
    )
    assert len(listed) > 10
    assert [name for name in listed if f"\n### `{name}(" not in PAGES["python.md"]] == []


def test_no_reference_page_is_left_over():
    assert {file.name for file in (ROOT / "docs" / "reference").iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_option_has_a_meaning(name):
    rows = re.findall(r"^\| `[^|]+`.*\|$", PAGES[name], re.MULTILINE)
    assert [row for row in rows if row.rstrip("| ").endswith("|") or re.search(r"\|\s*\|$", row)] == []
