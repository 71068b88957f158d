"""The console writes an alert for people, and lets no name drive the terminal."""

from __future__ import annotations

import msgspec
import pytest

from mlopsfw.testing.alerter import ALERT, AlerterConformance
from mlopsfw_alerter_console import ConsoleAlerter, ConsoleConfig


class TestConsoleAlerter(AlerterConformance):
    @pytest.fixture
    def alerter(self):
        return ConsoleAlerter(ConsoleConfig())

    @pytest.fixture
    def received(self, capsys):
        return lambda: [ALERT.id] * capsys.readouterr().err.count(" warning [delay/drift]")

    @pytest.fixture
    def shown(self, capsys):
        return lambda: capsys.readouterr().err


def test_control_characters_are_escaped(capsys):
    nasty = msgspec.structs.replace(ALERT, title="a\N{ESCAPE}[2Jb\r\nc", text="d\be")
    ConsoleAlerter(ConsoleConfig(colour="never")).deliver(nasty)
    text = capsys.readouterr().err
    assert "\N{ESCAPE}" not in text
    assert "\b" not in text
    assert "a\\x1b[2Jb\\r\\nc" in text
