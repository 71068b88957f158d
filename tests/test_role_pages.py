"""The pages of docs/roles are what the code says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from mlopsfw.kernel.roles.names import KINDS

ROOT = Path(__file__).parents[1]


def generator():
    sys.path.insert(0, str(ROOT / "ci"))  # the scripts share a module
    try:
        spec = importlib.util.spec_from_file_location("role_pages", ROOT / "ci" / "role_pages.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "ci"))
    return module


PAGES = generator().pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_page_of_a_role_is_what_its_hook_protocol_and_kit_say(name):
    assert (ROOT / "docs" / "roles" / name).read_text(encoding="utf-8") == PAGES[name], "run: python ci/role_pages.py"


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.reserved], ids=lambda kind: kind.name)
def test_the_page_of_a_role_lists_the_names_that_no_plugin_can_have(kind):
    (line,) = [line for line in PAGES[f"{kind.name}.md"].splitlines() if line.startswith("No plugin can have")]
    assert re.findall(r"`(\w+)`", line) == list(kind.reserved)


def test_a_page_lists_the_values_of_a_type_that_is_one_of_a_few_words():
    (line,) = [line for line in PAGES["trainer.md"].splitlines() if line.startswith("| `ColumnType` |")]
    assert {"`number`", "`tensor`"} <= set(re.findall(r"`\w+`", line))


def test_no_page_is_of_a_role_that_is_gone():
    assert {file.name for file in (ROOT / "docs" / "roles").iterdir()} == set(PAGES)
