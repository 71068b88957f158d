"""Steps of many parts in `runs show`: their counts, and the best trials of a search, in place of hundreds of lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click
import msgspec

from mlopsfw.cli.run_trials import BEST, show_trials, trials_of_step
from mlopsfw.pipeline.graph.partnames import is_part, step_of

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.record import RunView
    from mlopsfw.project.facade import Project


def many_parts(view: RunView) -> dict[str, list[str]]:
    """Return the names of the parts of each step that has more than ten."""
    parts: dict[str, list[str]] = {}
    for name in filter(is_part, view.steps):
        parts.setdefault(step_of(name), []).append(name)
    return {step: names for step, names in parts.items() if len(names) > BEST}


def without_parts(view: RunView) -> RunView:
    """Return the run without the parts of steps that have more than ten."""
    hidden = {name for names in many_parts(view).values() for name in names}
    return msgspec.structs.replace(view, steps={name: each for name, each in view.steps.items() if name not in hidden})


def show_parts(project: Project, view: RunView) -> None:
    """Print how many parts of each status a step of more than ten has, and the best of those that are trials."""
    for step, names in many_parts(view).items():
        counts = Counter(view.steps[name].status for name in names)
        click.echo(
            f"{step}: {len(names)} parts, {', '.join(f'{count} {status}' for status, count in counts.items())}; --all shows them"
        )
        if trials := trials_of_step(project, view.id, step):
            show_trials(trials[:BEST], BEST)
