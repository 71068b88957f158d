"""Whatever strangers wrote into names, rows and messages, no verb lets it drive the terminal."""

from __future__ import annotations

import re
import unicodedata

import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.testing.bundles import write_bundle

EVIL = "a\x1b[2Jb\x1b]0;t\x07c\rd\x9b2J\u202ee"
OURS = re.compile(r"\x1b\[[0-9;]*m")
STEP = f"""
import mlopsfw
def run():
    print({EVIL!r})
    mlopsfw.log_metric("loss", 1.0)
    return {{"k": {EVIL!r}}}
def fail():
    raise ValueError({EVIL!r})
"""
VERBS = [
    "data list", "data log t", "data show t", "data show t --json", "data diff t 1 2", "data diff t 1 2 --key k", "drift a.csv b.csv",
    "data check b.csv --infer", "data quarantine t", "data add t a.csv --type k=int64", "models list", "models show m", "models card m@1",
    "runs list", "runs show latest", "runs show latest --json", "runs diff latest latest", "status", "why a",
    "alerts list", "audit show dataset/t", "audit show model/m", "audit actors", "lineage data:/t@2", "lineage models:/m@1",
    "index query SELECT+*+FROM+versions", "doctor", "audit verify", "plugins list",
]  # fmt: skip


def ask(project, *words):
    """Run a verb as in a terminal: click then leaves the colours in what it prints, and whatever else begins with an escape."""
    return CliRunner().invoke(cli, ["--project", str(project.root), *words], color=True)


@pytest.fixture
def hostile(make_project, monkeypatch):
    """A project in which each text that a stranger may choose drives terminals."""
    project = make_project(
        '[steps.a]\npython = "work:run"\n[steps.fail]\npython = "work:fail"\nneeds = ["a"]\n', work=STEP
    )
    monkeypatch.chdir(project.root)
    for name, value in (("a", "x"), ("b", EVIL.replace("\r", ""))):
        (project.root / f"{name}.csv").write_text(
            f'k,"{EVIL}"\n"{value}",1\n"{EVIL}",2\n', encoding="utf-8", newline=""
        )
    for name in ("a", "b"):
        done = ask(project, "data", "add", "t", f"{name}.csv", "-m", EVIL)
        assert done.exit_code == 0, done.output
    folder = write_bundle(project.root / "bundle")
    project.registry.register("m", project.blobs.put_folder(folder), message=EVIL)
    for words in (("promote", "m", "1", "--reason", EVIL), ("approve", "m", "1", "-m", EVIL)):
        assert ask(project, "models", *words).exit_code == 0
    ask(project, "run")
    return project


def driving(text: str) -> set[str]:
    """Return the characters that a terminal would obey, less the colours that are ours."""
    return {c for c in OURS.sub("", text) if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")}


def test_no_verb_prints_what_a_terminal_would_obey(hostile):
    found = {verb: driving(ask(hostile, *(word.replace("+", " ") for word in verb.split())).output) for verb in VERBS}
    assert {verb: signs for verb, signs in found.items() if signs} == {}
    assert "a\\x1b[2Jb" in ask(hostile, "data", "log", "t").output  # it is shown, and not left out


@pytest.mark.parametrize("step", ["a", "fail"])
def test_what_a_step_printed_drives_no_terminal_and_comes_into_a_file_as_it_is(step, hostile, monkeypatch):
    into_a_file = ask(hostile, "runs", "log", "latest", step).output
    assert "a\x1b[2Jb" in into_a_file
    monkeypatch.setattr("mlopsfw.cli.runs.on_terminal", lambda: True)
    shown = ask(hostile, "runs", "log", "latest", step).output
    assert driving(shown) == set()
    assert "a\\x1b[2Jb" in shown
