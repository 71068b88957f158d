"""Numbers on the command line are finite and in their range."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "many"])
@pytest.mark.parametrize(
    "words",
    [
        ("gc", "--grace"),
        ("index", "query", "SELECT 1", "--timeout"),
        ("reproduce", "latest", "--tolerance"),
        ("drift", __file__, __file__, "--alpha"),
        ("drift", __file__, __file__, "--threshold"),
        ("predict", "models:/toy", __file__, "--alpha"),
    ],
    ids=lambda words: " ".join((words[0], words[-1])),
)
def test_a_number_that_is_not_finite_or_not_in_its_range_is_refused(project, words, value):
    answer = CliRunner().invoke(cli, ["--project", str(project.root), *words, value])
    assert answer.exit_code == 2
    assert f"Invalid value for '{words[-1]}'" in answer.output
