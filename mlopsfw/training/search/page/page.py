"""The page of a search, put together of its drawings and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlopsfw.pages import escape, framed
from mlopsfw.training.search.page import drawings
from mlopsfw.training.search.page.axes import label
from mlopsfw.training.search.trials import Trial

_FOOTER = (
    "Each dot is a trial; hollow ones break a limit. A colour stands for a trainer. An axis whose values span two decades is logarithmic. "
    "Importances are shares by PED-ANOVA, for trainers with ten values or more. The best of several trials is optimistic: the value on unseen "
    "rows shows by how much."
)
_COLOURS = 5  # that page.css defines


class Search(NamedTuple):
    """A search.

    Args:
        run: The run's id.
        step: The step that searches.
        metric: What it compares by.
        maximize: Whether more of it is better.
        objectives: That, and the further objectives.
        report: What the step returned; empty while it runs.
    """

    run: str
    step: str
    metric: str
    maximize: bool
    objectives: Sequence[str]
    report: Mapping[str, Any]


def search_page(search: Search, trials: Sequence[Trial]) -> str:
    """Return the page.

    Args:
        search: The search.
        trials: Its trials, best first.
    """
    trainers = dict.fromkeys(
        str(trial.params.get("trainer", "")) for trial in sorted(trials, key=lambda trial: trial.number)
    )
    colours = {trainer: number % _COLOURS for number, trainer in enumerate(trainers)}
    drawn = (
        drawings.history(trials, search.metric, colours, maximize=search.maximize),
        drawings.front(trials, search.objectives, search.report.get("front", ()), colours),
        drawings.pruned(trials, search.metric, colours),
        drawings.parallel(trials, search.metric, colours, maximize=search.maximize),
        drawings.slices(trials, search.metric, colours),
    )
    return framed(
        "mlopsfw.training.search.page",
        f"Search of {search.step} in run {search.run}",
        _FOOTER,
        facts=escape(_facts(search, trials)),
        key="".join(f'<span class="key c{colour}">{escape(trainer)}</span>' for trainer, colour in colours.items()),
        plots="".join(drawn) or "<p>No trial has a value yet.</p>",
        importances=_importances(search.report.get("importances", {}), colours),
        trials=_table(trials),
    )


def _facts(search: Search, trials: Sequence[Trial]) -> str:
    counts = Counter(trial.status for trial in trials)
    facts = [f"{len(trials)} trials: {', '.join(f'{count} {status}' for status, count in counts.items())}"]
    if trials and trials[0].value is not None:
        facts.append(f"best: trial {trials[0].number}, {search.metric} {label(trials[0].value)}")
    holdout = search.report.get("holdout")
    if holdout and holdout.get("value") is not None:
        facts.append(f"on {holdout['rows']:,} unseen rows {label(holdout['value'])}")
    return " · ".join(facts)


def _importances(importances: Mapping[str, Mapping[str, float]], colours: Mapping[str, int]) -> str:
    if not any(importances.values()):
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}<td><span class="bar"><i class="c{colours.get(trainer, 0)}" style="width:{share:.1%}"></i>'
        f"</span>{share:.0%}</tr>"
        for trainer, shares in importances.items()
        for name, share in shares.items()
    )
    return f"<h2>Importances</h2><table><tbody>{lines}</tbody></table>"


def _table(trials: Sequence[Trial]) -> str:
    heads = "".join(
        f'<th scope="col">{name}' for name in ("trial", "status", "value", "seconds", "trainer", "parameters", "why")
    )
    lines = "".join(
        f"<tr><td>{trial.number}<td>{escape(trial.status)}<td>{'' if trial.value is None else label(trial.value)}<td>{_seconds(trial)}"
        f"<td>{escape(str(trial.params.get('trainer', '')))}<td>{escape(_params(trial))}<td>{escape(trial.why)}</tr>"
        for trial in trials
    )
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'


def _seconds(trial: Trial) -> str:
    return "" if trial.status == "stopped" else f"{trial.seconds:.2f}"  # nobody measured those of a stopped one


def _params(trial: Trial) -> str:
    return ", ".join(
        f"{name.partition('.')[2] or name} {label(value)}" for name, value in trial.params.items() if name != "trainer"
    )
