"""`mlopsfw init`: what it writes runs as it is, from start to end, and never over something that is there."""

from __future__ import annotations

import subprocess
import sys


def cli(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlopsfw", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_what_init_writes_runs_and_then_is_cached(tmp_path):
    begun = cli("init", "My Houses", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    folder = tmp_path / "My Houses"
    first = cli("run", cwd=folder)
    assert first.returncode == 0, first.stderr
    assert "mean_absolute_error=" in first.stdout
    again = cli("run", cwd=folder)
    assert again.stdout.count("unchanged since") == 4
    assert "my-houses" in cli("runs", "list", cwd=folder).stdout


def test_the_commented_keys_are_right_too(tmp_path):
    cli("init", cwd=tmp_path)
    file = tmp_path / "mlopsfw.toml"
    lines = file.read_text().splitlines()
    wanted = (
        "# [steps.model]",
        "# use =",
        "# task",
        "# target",
        "# inputs",
        "# [[objective]]",
        "# metric",
        "# by",
        "# purpose",
        "# owner",
        "# [engine.local]",
        "# workers",
    )
    text = "\n".join(line[2:] if line.startswith(wanted) else line for line in lines)
    file.write_text(text)
    plan = cli("run", "--plan", cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    assert "model" in plan.stdout


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "steps.py").write_text("mine")
    refused = cli("init", cwd=tmp_path)
    assert refused.returncode == 2
    assert "steps.py exists" in refused.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["steps.py"]
