"""The parts of a card about what a model may get wrong: slices, bias, robustness, and which inputs it uses; or that no one measured it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlopsfw.models.registry.card_layout import Paragraph, Section, Table

_ASK = {
    "bias": 'Bias was not measured. Ask the step evaluate: bias = { by = ["COLUMN"] }.',
    "robustness": 'Robustness was not measured. Ask the step evaluate: robustness = ["noise", "missing"].',
    "importance": "The importance of inputs was not measured. Ask the step evaluate: importance = 5.",
}
CONCERNS = tuple(_ASK)
"""The names of the metrics that sections of their own show."""


def concern_sections(metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Section]:
    """Yield a section for each concern.

    Args:
        metrics: Of the version.
        facts: What the trainer says of the model.
    """
    titles: dict[str, tuple[str, Callable[[Any], Iterator[Paragraph | Table]]]] = {
        "bias": ("How it treats groups", _bias),
        "robustness": ("When its inputs are disturbed", _robustness),
        "importance": ("Which inputs it uses", _importance),
    }
    for name, (title, blocks) in titles.items():
        measured = metrics.get(name)
        shown = tuple(blocks(measured)) if isinstance(measured, Mapping) and measured else (Paragraph(_ASK[name]),)
        yield Section(title, (*shown, *(_attributions(facts) if name == "importance" else ())))


def _attributions(facts: Mapping[str, Any]) -> Iterator[Table]:
    shares = facts.get("attributions")
    if isinstance(shares, Mapping):
        ranked = sorted(shares.items(), key=lambda each: -float(each[1]))
        yield Table.of(((name, f"{share:.4g}") for name, share in ranked), "input", "share of what moves answers")


def segment_tables(metrics: Mapping[str, Any]) -> Iterator[Table]:
    """Yield a table of the metrics of each value of each segment's column."""
    segments = metrics.get("segments")
    for column, values in segments.items() if isinstance(segments, Mapping) else ():
        shown = {value: with_intervals(each) for value, each in values.items()}
        names = dict.fromkeys(name for each in shown.values() for name in each)
        rows = ((value, *(_cell(each.get(name)) for name in names)) for value, each in shown.items())
        yield Table.of(rows, column, *names)


def _cell(value: Any) -> str:
    return "-" if value is None else interval_text(value) or f"{value:.4g}"


def with_intervals(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics with each number that has an interval as its `value`, `low` and `high`, and without `intervals`."""
    ends = metrics.get("intervals")
    if not isinstance(ends, Mapping):
        return dict(metrics)
    return {
        name: {"value": value, **ends[name]} if name in ends else value
        for name, value in metrics.items()
        if name != "intervals"
    }


def interval_text(value: Any) -> str:
    """Return a value with its interval, such as `0.12 (0.05 to 0.19)`; empty where there is none."""
    if not isinstance(value, Mapping) or "value" not in value:
        return ""
    ends = f" ({value['low']:.3g} to {value['high']:.3g})" if "high" in value else ""
    return f"{value['value']:.3g}{ends}"


def _bias(bias: Mapping[str, Any]) -> Iterator[Paragraph | Table]:
    for column, judged in bias.items():
        groups: Mapping[str, Any] = judged.get("groups", {})
        rates = [name for name in next(iter(groups.values()), {}) if name != "rows"]
        rows = (
            (name, group["rows"], *(interval_text(group.get(rate)) or "-" for rate in rates))
            for name, group in groups.items()
        )
        yield Table.of(rows, column, "rows", *(rate.replace("_", " ") for rate in rates))
        yield Table.of((name.replace("_", " "), interval_text(value)) for name, value in judged.items())
        if small := judged.get("small"):
            listed = "; ".join(f"{name} ({count})" for name, count in small.items())
            yield Paragraph(f"Too few rows of {column} to judge: {listed}.")


def _robustness(robustness: Mapping[str, Any]) -> Iterator[Paragraph | Table]:
    metric = str(robustness.get("metric", ""))
    head = ("disturbed", "change of the output", "answers that change", metric, f"loss of {metric}")
    yield Table.of(_disturbed(robustness, ""), *head)


def _disturbed(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            path = f"{above} {name}".strip()
            if "change" in value:
                yield (
                    path,
                    *(f"{value[key]:.3g}" if key in value else "-" for key in ("change", "flipped", "metric", "loss")),
                )
            else:
                yield from _disturbed(value, path)


def _importance(importance: Mapping[str, Any]) -> Iterator[Paragraph | Table]:
    metric, columns = importance.get("metric", ""), importance.get("columns", {})
    ranked = sorted(columns.items(), key=lambda each: -float(each[1]["value"]))
    yield Table.of(
        ((name, interval_text(value)) for name, value in ranked), "input", f"loss of {metric} when it is shuffled"
    )
