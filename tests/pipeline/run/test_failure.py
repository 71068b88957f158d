"""A failed step ends a run with the code of what failed: the error's own, or the plugin's where it is an accident of a plugin."""

from __future__ import annotations

import pytest

from mlopsfw.cli.failure import report
from mlopsfw.kernel.base.errors import (
    ContractBroken,
    DataError,
    DriftFound,
    GateRefused,
    MissingExtra,
    PluginBroken,
    ServingError,
    UnknownName,
)
from mlopsfw.kernel.plugins.blame import blaming
from mlopsfw.kernel.plugins.catalog import Claim
from mlopsfw.pipeline.run.failure import failure_of

CLAIM = Claim("deployer", "http", "m", "dist", "1.0", 1)
CODES = [
    (ValueError("a step's own"), False, 1),
    (ValueError("a plugin's accident"), True, 5),
    (ServingError("said on purpose"), True, 1),
    (DataError("said on purpose"), True, 1),
    (UnknownName("no such model"), True, 1),
    (GateRefused("refused"), True, 3),
    (DriftFound("drift"), True, 4),
    (ContractBroken("broken"), False, 4),
    (PluginBroken("broken"), False, 5),
    (MissingExtra("the trainer", "torch"), True, 5),
    (KeyboardInterrupt(), False, 130),
]


@pytest.mark.parametrize(("error", "blamed", "code"), CODES, ids=lambda v: getattr(v, "args", v) and str(v))
def test_the_exit_code_is_that_of_what_failed(error, blamed, code, tmp_path):
    if blamed:
        with pytest.raises(type(error)), blaming(CLAIM, "Deployer.deploy"):
            raise error
    failure = failure_of(error, tmp_path)
    assert failure.exit_code == code
    refusal = isinstance(error, GateRefused | DriftFound | ContractBroken)
    assert ("raised by plugin 'deployer.http' (dist 1.0)" in failure.message) == (blamed and not refusal)
    final = GateRefused | UnknownName | DriftFound | ContractBroken | KeyboardInterrupt
    assert failure.retryable == (not isinstance(error, final))


def test_a_name_in_an_error_does_not_drive_the_terminal(capsys):
    assert report(DataError("no column '\x1b[2J\u202e'", hint="one line,\nand another"), with_traceback=False) == 1
    shown = capsys.readouterr().err
    assert "no column '\\x1b[2J\\x202e'" in shown
    assert "one line,\nand another" in shown


def test_an_endless_recursion_is_told_by_both_of_its_ends(tmp_path):
    (tmp_path / "deep.py").write_text("def deep(n):\n    return deep(n + 1)\n", encoding="utf-8")
    space = {}
    exec(compile((tmp_path / "deep.py").read_text(), tmp_path / "deep.py", "exec"), space)
    with pytest.raises(RecursionError) as caught:
        space["deep"](0)
    told = failure_of(caught.value, tmp_path).message.splitlines()
    assert len(told) < 30
    assert any("more calls" in line for line in told)
