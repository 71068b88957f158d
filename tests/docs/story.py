"""A page as a story: its blocks run one after the other, from top to bottom, in one project."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from blocks import Block, blocks_of, commands, say

FOREGROUND = {("mlopsfw", "serve"): "Ctrl-C stops it", ("mlopsfw", "monitor", "watch"): "Press Ctrl-C"}
"""Commands that run until Ctrl-C, and what they print when they are at it."""
PROGRAMS = ("curl", "git", "python")


class Story:
    """Runs the blocks of one page in the current folder.

    Args:
        page: The page's file name.
        names: What its Python finds; what it defines stays here.
        config: What mlopsfw.toml says before the first block; a block of TOML is laid over it. None leaves the file alone.
        places: Folders of the page → those of the test.
        before: Beginning of a command → what to do before it, such as writing the file that it reads.
    """

    def __init__(
        self,
        page: str,
        names: dict[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        places: Mapping[str, str] | None = None,
        before: Mapping[str, Callable[[], None]] | None = None,
    ) -> None:
        self.page, self.names, self.config = page, names if names is not None else {}, config
        self.places, self.before = places or {}, before or {}
        self.said: list[str] = []

    def run(self) -> None:
        """Run every block that does not say why it cannot run. There has to be one."""
        ran = [self._block(block) for block in blocks_of(self.page) if not block.reason]
        assert any(ran)

    def _block(self, block: Block) -> bool:
        """Run a block; return whether there was something to run."""
        text = block.text
        for place, here in self.places.items():
            text = text.replace(place, here)
        if block.language in ("toml", "python") and block.file not in ("", "mlopsfw.toml"):
            Path(block.file).write_text(text, encoding="utf-8")
            return False
        if block.language == "python":
            exec(compile(text, block.place, "exec"), self.names)
        elif block.language == "toml" and self.config is not None:
            self.config = laid_over({} if block.file else self.config, tomllib.loads(text))
            Path("mlopsfw.toml").write_text(written(self.config), encoding="utf-8")
        elif block.language == "console":
            command, _, expected = text.removeprefix("$ ").partition("\n")
            assert say(commands(command)[0]) == expected, block.place
        lines = commands(text) if block.language == "sh" else []
        for words in lines:
            self._command(words, block.place)
        return bool(lines) or block.language in ("python", "console")

    def _command(self, words: list[str], place: str) -> None:
        line = " ".join(words)
        for beginning, act in self.before.items():
            if line.startswith(beginning):
                act()
        words = [os.path.expandvars(word) for word in words]
        if words[0] in PROGRAMS:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (place, line, done.stdout, done.stderr)
            self.said.append(done.stdout)
            return
        assert words[0] == "mlopsfw", f"{place}: {words[0]} would have to run; say why it does not"
        if words[1] == "run" and "--plan" not in words:
            words.append("--debug")  # the same steps, without processes of their own
        until = next((text for first, text in FOREGROUND.items() if tuple(words[: len(first)]) == first), "")
        self.said.append(interrupted(words, until) if until else say(words))


def interrupted(words: list[str], until: str) -> str:
    """Run a command in a process, press Ctrl-C once it has printed `until`, and return what it printed."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while until not in printed and (line := process.stdout.readline()):
                printed += line
            process.send_signal(signal.SIGINT)
            printed += process.communicate(timeout=60)[0]
        finally:
            process.kill()
    assert process.returncode in (0, 130, -signal.SIGINT), (words, printed)
    return printed


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two tables as one: where both have a key, tables are laid over each other, and any other value replaces the one below."""
    both = {
        key: laid_over(below[key], above[key]) for key in below.keys() & above.keys() if _tables(below[key], above[key])
    }
    return {**below, **above, **both}


def _tables(*values: object) -> bool:
    return all(isinstance(value, dict) for value in values)


def written(config: Mapping[str, Any]) -> str:
    """Return a configuration as TOML."""
    return "".join(f"{json.dumps(key)} = {_inline(value)}\n" for key, value in config.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool | int | float) else value.isoformat()
