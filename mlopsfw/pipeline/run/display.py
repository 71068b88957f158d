"""The terminal's output of a run: one line per step, and on a terminal a moving last line. Decides nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from mlopsfw.pages.values import number_text
from mlopsfw.pipeline.graph.partnames import is_part, step_of
from mlopsfw.pipeline.run.events import as_number
from mlopsfw.pipeline.run.metrics import newest_of_log
from mlopsfw.pipeline.run.terminal import writable
from mlopsfw.pipeline.values.codec import notes, summary

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.engine import Failure, StepResult
    from mlopsfw.kernel.workspace import Workspace

_MARKS = {"done": ("✓", "32"), "cached": ("=", "2"), "failed": ("✗", "31"), "again": ("↻", "33"), "note": ("!", "33")}
_CLEAR = "\r\x1b[2K"


class Display:
    """Writes to a stream: plain lines if it is no terminal, nothing if it is None.

    Args:
        workspace: Where running steps leave their progress.
        stream: Where to write.
    """

    def __init__(self, workspace: Workspace, stream: TextIO | None) -> None:
        self._workspace, self._stream = workspace, stream
        self.live = bool(stream and stream.isatty())
        self._run, self._width = "", 8
        self._shown = False
        self._noted: set[str] = set()
        self._parts: dict[str, list[int]] = {}  # of steps that run by parts: how many ran, how many were unchanged

    @property
    def interval(self) -> float:
        """Seconds between two updates of the moving line."""
        return 0.1 if self.live else 5.0

    def began(self, run: str, steps: int) -> None:
        """Show that a run, or another session of it, begins."""
        self._run = run
        self._line(self._dim(f"run {run}, {steps} step{'s' * (steps != 1)}"))

    def started(self, name: str, attempt: int) -> None:
        """Show that the engine has an attempt. Plain output waits for the result: one line per step."""
        del attempt
        if not is_part(name):
            self._width = max(self._width, len(name))

    def cached(self, name: str, run: str, outputs: Mapping[str, Artifact]) -> None:
        """Show that a cached result was used, or that an earlier session of this run made it, and its notes."""
        if not self._counted(name, 1):
            said = ("done", "in an earlier session") if run == self._run else ("cached", f"unchanged since {run}")
            self._step(said[0], name, "", said[1])
            self._tell_notes(name, outputs)

    def finished(self, name: str, result: StepResult) -> None:
        """Show that a step is done; a step by parts only once, for all its parts."""
        if self._counted(name, 0):
            return
        own_first = sorted(result.metrics.items(), key=lambda each: "." in each[0])  # before those of its parts
        shown = [(key, as_number(value)) for key, value in own_first[:4]]
        numbers = [f"{key}={number_text(value)}" for key, value in shown if isinstance(value, int | float)]
        self._step(
            "done",
            name,
            _duration(result.seconds),
            ", ".join(filter(None, (summary(result.outputs), self._count(name), *numbers))),
        )
        self._tell_notes(name, result.outputs)

    def _tell_notes(self, name: str, outputs: Mapping[str, Artifact]) -> None:
        """Show each note once, at the step that made it: a step that passes a result on passes its note on."""
        for text in notes(outputs):
            if text not in self._noted:
                self._noted.add(text)
                self.note(f"{name}: {text}")

    def _counted(self, name: str, kind: int) -> bool:
        part = is_part(name)
        if part:
            self._parts.setdefault(step_of(name), [0, 0])[kind] += 1
        return part

    def _count(self, name: str) -> str:
        ran, unchanged = self._parts.get(name, (0, 0))
        return f"{ran + unchanged} parts, {unchanged} unchanged" if ran + unchanged else ""

    def failed(self, name: str, failure: Failure, pause: float | None) -> None:
        """Show that an attempt failed, and whether another follows."""
        first = failure.message.splitlines()[0] if failure.message else ""
        again = "" if pause is None else f", again in {pause:.1f} s" if pause else ", again"
        self._step("failed" if pause is None else "again", name, "", f"{failure.type}: {first}{again}")

    def note(self, text: str) -> None:
        """Show a message to the user."""
        self._step("note", text, "", "")

    def tick(self, run: str, running: Mapping[str, float]) -> None:
        """Redraw the moving line: the running steps, their time and progress."""
        if not self.live or self._stream is None:
            return
        now = time.monotonic()
        parts = [
            f"{name} {_duration(now - began)}{self._progress(run, name)}{self._metrics(run, name)}"
            for name, began in running.items()
        ]
        line = " · ".join(parts)[: shutil.get_terminal_size().columns - 3]
        self._write(f"{_CLEAR}{self._dim('▸ ' + line) if line else ''}")
        self._shown = bool(line)

    def _progress(self, run: str, name: str) -> str:
        import msgspec

        try:
            phase, share = msgspec.json.decode(
                (self._workspace.state / "runs" / run / name / "progress.json").read_bytes()
            )
        except (OSError, msgspec.DecodeError, ValueError):
            return ""
        return f" {phase} {share:.0%}"

    def _metrics(self, run: str, name: str) -> str:
        """Return the newest value of the metrics that a step logged last; empty from another machine."""
        newest = newest_of_log(self._workspace.state / "runs" / run / name)
        return "".join(f" {_printable(metric.name)}={number_text(metric.number)}" for metric in newest[:3])

    def _step(self, mark: str, name: str, seconds: str, text: str) -> None:
        sign, colour = _MARKS[mark]
        sign = f"\x1b[{colour}m{sign}\x1b[0m" if self.live else sign
        self._line(f"{sign} {_printable(name):{self._width}} {seconds:>8}  {self._dim(_printable(text))}".rstrip())

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self.live and text else text

    def _line(self, text: str) -> None:
        self._write(f"{_CLEAR if self._shown else ''}{text}\n")
        self._shown = False

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(writable(text, self._stream))
            self._stream.flush()


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 - minutes begin here
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"  # noqa: PLR2004
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"  # noqa: PLR2004


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
