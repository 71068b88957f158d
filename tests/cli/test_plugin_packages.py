"""`plugins new` writes packages that work, and `plugins check` finds what does not."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from mlopsfw.cli import run
from mlopsfw.cli.plugin_check import check_package
from mlopsfw.cli.plugin_checks import Result
from mlopsfw.cli.plugin_new import roles, write_package
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.roles.names import KINDS

EVERY_PUSH = "step"
PROVIDER = "Provider('odd', C, lambda c, h: None, 'An odd alerter')"


def odd(offer=f"yield {PROVIDER}", *, first="", config="frozen=True, forbid_unknown_fields=True"):
    """Return the source of an alerter's plugin with something odd about it."""
    return (
        f"{first}\nimport msgspec\nfrom mlopsfw import Provider, hookimpl\n"
        f"class C(msgspec.Struct, {config}):\n    pass\n"
        f"@hookimpl\ndef mlopsfw_alerters():\n    {offer}\n"
    )


@pytest.fixture
def check(capsys):
    """Run `plugins check`; return the rows that fail and the exit code."""

    def run_check(*words):
        code = run(["plugins", "check", "--json", *map(str, words)])
        return [row for row in json.loads(capsys.readouterr().out) if not row["ok"]], code

    return run_check


@pytest.mark.parametrize(
    "role", [role if role == EVERY_PUSH else pytest.param(role, marks=pytest.mark.nightly) for role in roles()]
)
@pytest.mark.timeout(300)
def test_a_new_package_builds_installs_and_passes_its_checks_and_kit_at_once(
    role, check, tmp_path, monkeypatch, capsys
):
    site = tmp_path / "site"
    assert run(["plugins", "new", role, "two-words", "--folder", str(tmp_path)]) == 0
    capsys.readouterr()
    folder = tmp_path / f"mlopsfw-{role}-two-words"
    pip = [
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([sys.executable, "-m", *pip, "--target", str(site), str(folder)], check=True)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    assert check(folder) == ([], 0)


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        ("alrter", "pager", "there is no role 'alrter'"),
        ("alerter", "Pager", "cannot be a plugin's name"),
        ("alerter", "../pager", "cannot be a plugin's name"),
        ("alerter", "a" * 41, "cannot be a plugin's name"),
        ("alerter", "webhook", "exists"),
        ("trainer", "onnx", "exists"),  # the sample brings a runtime of its name
    ],
)
def test_a_package_that_cannot_be_is_refused_and_nothing_is_written(role, name, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        write_package(role, name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_as_it_is(tmp_path):
    made = write_package("alerter", "pager", tmp_path)
    (made / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_package("alerter", "pager", tmp_path)
    assert (made / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("source", "failed", "message"),
    [
        (odd(first="import nowhere"), "import", "No module named 'nowhere'"),
        (odd(first="import sys; sys.exit(3)"), "import", "would have ended mlopsfw"),
        (odd(first="import os; os._exit(3)"), "import", "ended the process with code 3"),
        (odd(first="import time; time.sleep(60)"), "import", "did not end within 8 s"),
        (odd(first="import time; time.sleep(3.1)"), "import", "takes 3."),
        (odd(first="import numpy"), "import", "imports numpy. Import numpy inside functions"),
        (odd(first="import mlopsfw.worker"), "import", "imports numpy. Import mlopsfw.worker inside functions"),
        (odd(first="from mlopsfw.evaluation import evaluate"), "import", "Import mlopsfw.evaluation inside functions"),
        (odd("raise ValueError('no')"), "hook", "no"),
        (odd("yield 'a string'"), "hook", ""),
        (odd(f"return {PROVIDER}"), "hook", ""),
        (odd(offer=f"yield {PROVIDER.replace('odd', 'even', 1)}"), "hook", "offers no alerter called 'odd'"),
        (odd(config="frozen=True"), "hook", "forbid_unknown_fields=True"),
        (odd(config="forbid_unknown_fields=True"), "options", "can be changed"),
        (odd(offer=f"yield {PROVIDER.replace('An odd alerter', '')}"), "options", "no summary"),
        (
            odd(first="import mlopsfw.kernel.base.ids"),
            "imports",
            "imports mlopsfw.kernel.base.ids, which is not public",
        ),
    ],
)
def test_what_is_wrong_with_a_plugin_is_found_and_named(source, failed, message, check, install_plugin):
    install_plugin(source, "alerter.odd")
    rows, code = check("acme-mlops-0", "--timeout", "8")
    assert code == 5
    assert rows[0]["plugin"] == "alerter.odd"
    assert rows[0]["check"] == failed
    assert message in rows[0]["message"]
    assert rows[0]["message"]


def test_a_terminal_shows_each_check_as_it_begins_and_the_tests_as_they_go_and_each_has_its_seconds(tmp_path, capsys):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_slow.py").write_text("import time\ndef test_a(): time.sleep(0.3)\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mlopsfw"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlopsfw.cli.plugin_check._checks", lambda *_: iter(()))
        patch.setattr(sys.stderr, "isatty", lambda: True)
        assert run(["plugins", "check", "--json", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    (row,) = json.loads(out)
    assert row["seconds"] > 0.3
    assert f"the tests in {tmp_path / 'tests'}" in err
    assert "[100%]" in err


def test_what_is_printed_at_import_is_no_result(check, install_plugin):
    install_plugin(odd(first="print('{}')\nimport os\nos.write(1, b'hello')"), "alerter.odd")
    assert check("acme-mlops-0") == ([], 0)
    said = []
    results = list(check_package("acme-mlops-0", 60, said.append))
    assert said[:2] == ["alerter.odd: import", "alerter.odd: hook"]
    assert all(0 < result.seconds < 60 for result in results)


def test_a_verb_that_a_verb_of_mlopsfw_hides_is_found(check, install_plugin):
    source = "import click\nfrom mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_commands():\n    yield click.Command('run')\n"
    install_plugin(source, "command.run")
    rows, _ = check("acme-mlops-0")
    assert [row["check"] for row in rows] == ["hook"]
    assert "of its own" in rows[0]["message"]


def test_the_output_of_failed_tests_stands_in_lines_below_a_narrow_table(monkeypatch, capsys):
    failed = Result("acme", "tests", ok=False, message=f"FAILED {'x' * 300}\n2 failed")
    monkeypatch.setattr("mlopsfw.cli.plugin_check.check_package", lambda *_: iter([failed]))
    run(["plugins", "check", "acme"])
    head, row, *below = capsys.readouterr().out.splitlines()
    assert head.split() == ["plugin", "check", "ok", "seconds", "message"]
    assert head == head.rstrip()
    assert row.split() == ["acme", "tests", "fails", "0", "2", "failed"]
    assert below == [f"FAILED {'x' * 300}"]


def test_a_distribution_that_is_not_installed_is_an_error_that_says_what_to_do(tmp_path, capsys):
    folder = write_package("alerter", "pager", tmp_path)
    assert run(["plugins", "check", str(folder)]) == 2
    assert f"pip install -e {folder}" in capsys.readouterr().err


def test_the_help_names_every_sample(capsys):
    assert run(["plugins", "new", "--help"]) == 0
    said = re.findall(r"\w+", capsys.readouterr().out.partition("ROLE is one of")[2])
    assert set(roles()) <= set(said)


def test_every_kind_of_plugin_has_a_sample():
    assert set(roles()) == set(KINDS)
