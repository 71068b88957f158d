"""Output in an encoding that lacks some characters: marks and names are replaced, and nothing ends because of them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from mlopsfw.pipeline.run.display import Display
from mlopsfw.pipeline.run.terminal import accept_any_text

_STEPS = """
def first():
    print("printed: Zürich ✓ 東京")
    return {"out": 1}

def second():
    raise RuntimeError("Zürich ✗ 東京")
"""
_CONFIG = """
[project]
name = "p"
[steps.first]
python = "steps:first"
outputs = ["out"]
cache = false
[steps.second]
python = "steps:second"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encodings")
    (folder / "mlopsfw.toml").write_text(_CONFIG, encoding="utf-8")
    (folder / "steps.py").write_text(_STEPS, encoding="utf-8")
    (folder / "städte.csv").write_text("Straße,n\n東京 ✓,1\nZürich,\n", encoding="utf-8")
    return folder


_MANY = """
import json, sys
from mlopsfw.cli import main
for command in json.loads(sys.argv.pop()):
    sys.argv[1:] = command
    try:
        main()
    except SystemExit as end:
        print("rc", end.code, flush=True)
"""


def started(folder, encoding, *command):
    """Run Python with output in `encoding`; return its exit code and what it printed, decoded strictly."""
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def mlopsfw(folder, encoding, *arguments):
    return started(folder, encoding, "-m", "mlopsfw", *arguments)


def many(folder, encoding, commands):
    """Return what each of the commands printed on standard output; each must succeed."""
    _, out, err = started(folder, encoding, "-c", _MANY, json.dumps([command.split() for command in commands]))
    *shown, rest = out.split("rc 0\n")
    assert not rest, (out, err)
    return dict(zip(commands, shown, strict=True))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_run_goes_on_and_its_log_keeps_every_character(folder, encoding):
    code, out, err = mlopsfw(folder, encoding, "run")
    assert code == 1
    assert "+ first" in out
    assert "RuntimeError: Z" in out
    assert "error: step 'second': RuntimeError: Z" in err
    assert "UnicodeEncodeError" not in out + err
    assert many(folder, "utf-8", ["runs log latest first"]).popitem()[1] == "printed: Zürich ✓ 東京\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_every_verb_prints_what_the_encoding_has_and_json_stays_json(folder, encoding):
    verbs = ["--help", "run --help", "data --help", "data show t", "data log t", "runs list", "status", "run --plan"]
    verbs += ["runs log latest first", "plugins list", "schema", "why first", "--version", "data show t --json"]
    shown = many(folder, encoding, ["data add t städte.csv --quiet --force", *verbs])
    assert all(shown.values())
    assert r"\u6771\u4eac +" in shown["data show t"]
    assert json.loads(shown["data show t --json"])["head"][0]["Straße"] == "東京 ✓"


@pytest.mark.parametrize("arguments", [("städte",), ("data", "show", "東京"), ("data", "add", "t", "fehlt–✓.csv")])
def test_errors_are_printed_with_replaced_characters(folder, arguments):
    code, out, err = mlopsfw(folder, "ascii", *arguments)
    assert code in {1, 2}
    assert not out
    assert "rror" in err
    assert "UnicodeEncodeError" not in err


def test_a_display_writes_to_the_stream_of_another_program_as_it_is(tmp_path):
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="latin-1", errors="strict")
    Display(tmp_path, stream).note("Zürich → 東京")
    assert written.getvalue().decode("latin-1") == "! Zürich -> \\u6771\\u4eac\n"
    assert (stream.encoding, stream.errors) == ("latin-1", "strict")


def test_a_name_that_is_no_text_is_printed_with_escapes_in_utf_8():
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="utf-8", errors="strict")
    accept_any_text(stream)
    stream.write("b\udcff ✓\n")
    stream.flush()
    assert written.getvalue().decode() == "b\\udcff ✓\n"
