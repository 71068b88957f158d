"""The drawings of a search. Each returns figures as markup, and nothing where there is too little to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from mlopsfw.pages import escape
from mlopsfw.training.search.page.axes import BASE, LEFT, TOP, Axis, axis_of, plot, point
from mlopsfw.training.search.trials import Trial, mean_of

_WIDE = 630  # where the last axis of parallel coordinates stands


def history(trials: Sequence[Trial], metric: str, colours: Mapping[str, int], *, maximize: bool) -> str:
    """Draw the value of each trial by its number, and the best so far as a line."""
    valued = sorted((trial for trial in trials if trial.value is not None), key=lambda trial: trial.number)
    if not valued:
        return ""
    across, up = axis_of([trial.number for trial in valued]), axis_of([trial.value for trial in valued])
    best = accumulate((trial.value for trial in valued if trial.value is not None), max if maximize else min)
    steps = [point(across, up, trial.number, value) for trial, value in zip(valued, best, strict=True)]
    line = f"M{steps[0][0]:.1f} {steps[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in steps[1:])
    dots = "".join(_dot(trial, point(across, up, trial.number, trial.value), colours) for trial in valued)
    return plot(
        f"{metric} by trial, and the best so far", across, up, f'<path class="best" d="{line}"/>{dots}', "trial"
    )


def slices(trials: Sequence[Trial], metric: str, colours: Mapping[str, int]) -> str:
    """Draw the value of each trial by each of its parameters that varies."""
    valued = [trial for trial in trials if trial.value is not None]
    names = sorted({name for trial in valued for name in trial.params})
    return "".join(_slice(name, [trial for trial in valued if name in trial.params], metric, colours) for name in names)


def _slice(name: str, trials: Sequence[Trial], metric: str, colours: Mapping[str, int]) -> str:
    values = [trial.params[name] for trial in trials]
    if len({str(value) for value in values}) == 1:
        return ""
    across, up = axis_of(values), axis_of([trial.value for trial in trials])
    dots = "".join(_dot(trial, point(across, up, trial.params[name], trial.value), colours) for trial in trials)
    return plot(f"{metric} by {name}", across, up, dots, name.rpartition(".")[2])


def parallel(trials: Sequence[Trial], metric: str, colours: Mapping[str, int], *, maximize: bool) -> str:
    """Draw each trial of each trainer as a line over its parameters, to its value; the better half stands out."""
    valued = [trial for trial in trials if trial.value is not None]
    return "".join(
        _lines(trainer, [trial for trial in valued if trial.params.get("trainer") == trainer], metric, colour, maximize)
        for trainer, colour in colours.items()
    )


def _lines(trainer: str, trials: Sequence[Trial], metric: str, colour: int, maximize: bool) -> str:  # noqa: FBT001
    names = [
        name
        for name in sorted({name for trial in trials for name in trial.params})
        if all(name in trial.params for trial in trials) and len({str(trial.params[name]) for trial in trials}) > 1
    ]
    if not names:
        return ""
    columns = [*([trial.params[name] for trial in trials] for name in names), [trial.value for trial in trials]]
    axes = [axis_of(column) for column in columns]
    places = [LEFT + (_WIDE - LEFT) * number / len(names) for number in range(len(axes))]
    order = sorted(range(len(trials)), key=lambda at: (1 if maximize else -1) * (trials[at].value or 0.0))
    lines = "".join(
        f'<path class="line c{colour}{" better" if rank >= len(order) / 2 else ""}" d="M{_path(columns, axes, places, at)}"/>'
        for rank, at in enumerate(order)
    )
    return _parallel_figure(f"{trainer}: parameters and {metric}", [*names, metric], axes, places, lines)


def _path(columns: Sequence[Sequence[Any]], axes: Sequence[Axis], places: Sequence[float], at: int) -> str:
    return "L".join(
        f"{x:.1f} {BASE - (BASE - TOP) * axis.share(column[at]):.1f}"
        for x, axis, column in zip(places, axes, columns, strict=True)
    )


def _parallel_figure(
    title: str, names: Sequence[str], axes: Sequence[Axis], places: Sequence[float], lines: str
) -> str:
    drawn = []
    for number, (name, axis, x) in enumerate(zip(names, axes, places, strict=True)):
        low, high = axis.ends()
        anchor = "start" if number == 0 else "end" if number == len(names) - 1 else "middle"
        drawn.append(f'<line class="axis" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BASE}"/>')
        for y, text in ((TOP - 3, high), (BASE + 11, low), (BASE + 24 + 11 * (number % 2), name.rpartition(".")[2])):
            drawn.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>')
    return (
        f'<figure class="wide"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="30 -10 630 185" role="img" aria-label="{escape(title)}">{lines}{"".join(drawn)}</svg></figure>'
    )


def front(trials: Sequence[Trial], objectives: Sequence[str], best: Sequence[int], colours: Mapping[str, int]) -> str:
    """Draw each further objective over the first, with the trials that no other beats in every objective joined."""
    figures = []
    for other in objectives[1:]:
        points = [
            (trial, x, y)
            for trial in trials
            if trial.value is not None
            and (x := mean_of(trial.folds, objectives[0])) is not None
            and (y := mean_of(trial.folds, other)) is not None
        ]
        if points:
            across, up = axis_of([x for _, x, _ in points]), axis_of([y for _, _, y in points])
            placed = {trial.number: point(across, up, x, y) for trial, x, y in points}
            joined = sorted(placed[number] for number in best if number in placed)
            line = f'<path class="best" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in joined)}"/>' if joined else ""
            dots = "".join(_dot(trial, placed[trial.number], colours) for trial, _, _ in points)
            title = f"{other} over {objectives[0]}: the Pareto front"
            figures.append(plot(title, across, up, line + dots, objectives[0]))
    return "".join(figures)


def pruned(trials: Sequence[Trial], metric: str, colours: Mapping[str, int]) -> str:
    """Draw the mean over the folds so far of each trial; those that were stopped early are dashed."""
    curves = {}
    for trial in trials:
        means = (mean_of(trial.folds[:count], metric) for count in range(1, len(trial.folds) + 1))
        if values := [mean for mean in means if mean is not None]:
            curves[trial.number] = (trial, values)
    if not any(trial.status == "pruned" for trial, _ in curves.values()):
        return ""
    most = max(len(values) for _, values in curves.values())
    across, up = (
        axis_of(range(1, max(most, 2) + 1)),
        axis_of([each for _, values in curves.values() for each in values]),
    )
    marks = "".join(_curve(trial, values, across, up, colours) for trial, values in curves.values())
    return plot(
        f"{metric}: the mean over the folds so far; trials that were stopped early are dashed",
        across,
        up,
        marks,
        "fold",
    )


def _curve(trial: Trial, values: Sequence[float], across: Axis, up: Axis, colours: Mapping[str, int]) -> str:
    places = [point(across, up, fold + 1, value) for fold, value in enumerate(values)]
    stopped = trial.status == "pruned"
    if len(places) == 1:
        return _dot(trial, places[0], colours)
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f'<path class="line c{_colour(trial, colours)}{" pruned" if stopped else " better"}" d="M{line}"/>'


def _colour(trial: Trial, colours: Mapping[str, int]) -> int:
    return colours.get(str(trial.params.get("trainer", "")), 0)


def _dot(trial: Trial, place: tuple[float, float], colours: Mapping[str, int]) -> str:
    hollow = "" if trial.kept and trial.status != "pruned" else " hollow"
    return (
        f'<circle class="c{_colour(trial, colours)}{hollow}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="2.5">'
        f"<title>trial {trial.number}</title></circle>"
    )
