"""Errors that cross a border between processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsfw import errors


class _Acme(errors.GoldenMismatch):
    """An error of a plugin's own, which the other process may not have."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.MissingExtra("the trainer", "torch"), errors.MissingExtra),
        (errors.ConfigError("is odd", file=Path("a.toml"), line=2, key="x"), errors.ConfigError),
        (errors.AnswerMismatch("m", "value", "is odd"), errors.AnswerMismatch),
        (_Acme("is odd", hint="Mend it."), errors.GoldenMismatch),
    ],
)
def test_an_error_of_another_process_has_its_class_message_hint_and_exit_code(error, kind):
    raised = errors.error_from_json(errors.error_to_json(error))
    assert type(raised) is kind
    assert (str(raised), raised.message, raised.hint, raised.exit_code) == (
        str(error), error.message, error.hint, error.exit_code,
    )  # fmt: skip
