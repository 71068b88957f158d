"""A project is opened at no cost, and each of its parts can be made by itself."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from functools import cached_property

import pytest

from mlopsfw.errors import UsageError
from mlopsfw.project.facade import Project

PARTS = sorted(name for name, kind in inspect.getmembers(Project) if isinstance(kind, cached_property))
NAMED = re.findall(r"`(\w+)`", "".join(re.findall(r"^- (.*?):", inspect.getdoc(Project), re.MULTILINE)))


def test_an_opened_project_has_made_no_part_and_imported_nothing_heavy(project):
    code = (
        "import sys\nfrom pathlib import Path\nfrom mlopsfw import Project\n"
        f"project = Project.open(Path({str(project.root)!r}))\n"
        "print(*vars(project))\nprint(*sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    made, modules = (set(line.split()) for line in out.splitlines())
    assert made & set(PARTS) == set()
    assert modules & {"numpy", "pyarrow", "polars", "pluggy", "obstore", "deltalake", "sqlite3"} == set()
    rooms = {name.split(".")[1] for name in modules if name.startswith("mlopsfw.")}
    assert rooms == {"kernel", "project", "privacy"}  # privacy refuses a secret in clear


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_made_by_itself(project, part):
    with Project.open(project.root) as fresh:
        assert getattr(fresh, part) is getattr(fresh, part)


def test_the_parts_that_users_know_are_there(project):
    assert {"datasets", "pipeline", "registry", "endpoints", "monitoring", "alerts", "ledger"} <= set(NAMED)
    assert [name for name in NAMED if not hasattr(project, name)] == []


def test_a_folder_that_is_not_there_is_an_error_though_a_project_lies_above_it(project):
    with pytest.raises(UsageError, match=r"there is no folder .*/nope"):
        Project.open(project.root / "nope")
