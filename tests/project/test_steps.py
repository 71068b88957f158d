"""The built-in steps as a project offers them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlopsfw.errors import UnknownName


def test_every_step_is_found_under_its_own_name(project):
    assert [project.steps.find(name).name for name in project.steps.names()] == list(project.steps.names())
    assert len(project.steps.names()) == 14


def test_an_unknown_step_is_an_error_that_names_the_nearest(project):
    with pytest.raises(UnknownName, match="no built-in step 'jion'") as caught:
        project.steps.find("jion")
    assert "join" in caught.value.hint


def test_finding_a_step_imports_no_other_and_builds_no_plugin(project):
    code = (
        "import sys\nfrom pathlib import Path\nfrom mlopsfw import Project\n"
        f"project = Project.open(Path({str(project.root)!r}))\n"
        "for name in ('train', 'split'): project.steps.find(name)\n"
        "print(sorted(m.removeprefix('mlopsfw.steps.') for m in sys.modules if m.startswith('mlopsfw.steps.')))\n"
        "print([m for m in sys.modules if m.startswith('mlopsfw_trainer')])\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["['origins', 'split', 'train']", "[]"]
