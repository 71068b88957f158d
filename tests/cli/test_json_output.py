"""With `--json` standard output is one JSON document, whatever plugins, steps and their libraries print."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NOISY = """
import os, sys
from mlopsfw import hookimpl
def shout(where):
    print("print in", where)
    sys.__stdout__.write(f"stream in {where}\\n")
    sys.__stdout__.flush()
    os.write(1, f"bytes in {where}\\n".encode())
    os.system("echo child in " + where)
shout("import")
@hookimpl
def mlopsfw_event(event, host):
    shout("observer")
"""
STEPS = """
from noisy import shout
def one():
    shout("step")
    return 1
"""
TOML = """
[plugins]
modules = ["noisy"]
[steps.one]
python = "steps:one"
"""
VERBS = {
    "run --debug --json": "step",
    "run --force --json": "observer",
    "data add t t.csv --json": "observer",
    "run --plan --json": "",
    "why one --json": "",
    "status --json": "",
    "runs list --json": "",
    "data show t --json": "",
    "plugins list --load --json": "",
    "doctor --json": "",
    "schema": "",
}
SCRIPT = """
import json, os, sys
from mlopsfw.cli import run
for verb in json.loads(sys.argv[1]):
    code = run(verb.split())
    os.write(1, b"\\x00")
    os.write(2, b"\\x00")
    assert code == 0, verb
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return what each verb printed on both streams, all in one process that has real ones."""
    folder = tmp_path_factory.mktemp("noisy")
    (folder / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n{TOML}')
    (folder / "noisy.py").write_text(NOISY)
    (folder / "steps.py").write_text(STEPS)
    (folder / "t.csv").write_text("a\n1\n")
    command = [sys.executable, "-c", SCRIPT, json.dumps([*VERBS])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    streams = (done.stdout.split("\0")[:-1], done.stderr.split("\0")[:-1])
    return dict(zip(VERBS, zip(*streams, strict=True), strict=True))


@pytest.mark.parametrize("verb", VERBS)
def test_what_plugins_and_steps_print_is_no_part_of_the_document(verb, printed):
    out, error = printed[verb]
    json.loads(out)
    where = VERBS[verb]
    for how in ("print", "stream", "bytes", "child") if where else ():
        assert f"{how} in {where}" in error


def test_standard_output_is_as_it_was_after_a_verb(printed):
    """The null bytes were written to it after each verb; the import printed once, in the first of them."""
    assert len(printed) == len(VERBS)
    assert "print in import" in printed["run --debug --json"][1]
