"""The tutorial does what it says: every block of the page, in its order, in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import blocks_of

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(300)]


@pytest.fixture
def shell(tmp_path):
    """Return a runner of shell lines in a new folder, with mlopsfw on the path."""
    folder = tmp_path / "shop"
    folder.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(lines):
        command = ["bash", "-euo", "pipefail", "-c", lines]
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.folder = folder
    yield run
    if (folder / "mlopsfw.toml").exists():
        run("mlopsfw endpoints stop returns || true")


def test_every_block_of_the_tutorial_does_what_the_page_says(shell):
    said = []
    for block in blocks_of("tutorial.md"):
        if block.language != "sh":
            (shell.folder / block.file).write_text(block.text, encoding="utf-8")
        elif not block.text.startswith("pip install"):
            said.append(shell(block.text))
    trained, again, deployed, _, calm, changed, looked = said
    assert "-5" in trained
    assert "unchanged" in again
    assert "returns" in deployed
    assert "0 of" in calm
    assert "price" in changed
    assert "data:/orders@1" in looked
    assert " 0 problems" in looked
    alerts = json.loads(shell("mlopsfw alerts list --json"))
    assert len(alerts) == 1
