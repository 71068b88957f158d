"""The page of a comparison of two tables: the `drift` monitor draws it as one window with the columns that were compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.data.drift.table import column_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mlopsfw.data.drift.job import Outcome
    from mlopsfw.kernel.roles.monitoring import Monitor, Report

_DRAWN = 10_000  # rows that stand for a streamed column of categories in its picture


def comparison_page(
    monitor: Monitor, outcome: Outcome, reference: str, current: str, changes: Sequence[str] = ()
) -> str:
    """Return one self-contained HTML page with a picture of each column.

    Args:
        monitor: The `drift` monitor, with the level and the smallest effect of the comparison.
        outcome: The result of the comparison.
        reference: The name of the reference table.
        current: The name of the current table.
        changes: What else differs between the two, a sentence each.
    """
    from mlopsfw.kernel.roles.monitoring import Baseline, Window
    from mlopsfw.monitoring.reporting import examine
    from mlopsfw.monitoring.settings import AlarmRule
    from mlopsfw_core import Reference

    before, after = (_rows(outcome, side) for side in (0, 1))
    profile = {name: Reference.fit(before[name], name=name).to_dict() for name in before.columns}
    rows, baseline = after.to_arrow(), Baseline(profile=profile)
    window = Window(endpoint=current, model=reference, version=0, start="", end="", rows=rows, baseline=baseline)
    report, _ = examine("drift", monitor, window, AlarmRule())
    return monitor.page(_with(changes, _as_found(report, outcome)), window) or ""


def _with(changes: Sequence[str], report: Report) -> Report:
    import msgspec

    from mlopsfw.kernel.roles.monitoring import Finding

    said = (Finding(kind="quality", subject="rows", severity="info", message=text) for text in changes)
    return msgspec.structs.replace(report, findings=(*report.findings, *said))


def _as_found(report: Report, outcome: Outcome) -> Report:
    """Return the report with the figures of the job. For a stream the rows of the page are only a sketch."""
    import msgspec

    drifted = outcome.drifted
    summary = f"{len(drifted)} of {len(outcome.drifts)} columns drifted" + (
        f": {', '.join(drifted)}" if drifted else ""
    )
    if outcome.nothing:
        summary = f"nothing was compared: {outcome.nothing}"
    if outcome.left_out:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in outcome.left_out.items())
        summary += f"; not compared: {reasons}"
    if outcome.stream is not None:
        summary += f"; streamed: true effects of numeric columns are at most {outcome.error:.2g} larger"
    return msgspec.structs.replace(
        report,
        rows=outcome.rows[1],
        alarm=bool(drifted),
        summary=summary,
        columns=tuple(column_row(each) for each in outcome.drifts),
        findings=tuple(each for each in report.findings if each.subject in drifted),
    )


def _rows(outcome: Outcome, side: int) -> pl.DataFrame:
    """Return the rows to draw, or none if nothing was compared."""
    import polars as pl

    if outcome.nothing:
        return pl.DataFrame()
    return pl.DataFrame(outcome.frames[side]) if outcome.frames else _stand_ins(outcome, side)


def _stand_ins(outcome: Outcome, side: int) -> pl.DataFrame:
    """Return rows that have the distributions of a streamed table: quantiles of numbers, shares of categories."""
    import polars as pl

    assert outcome.stream is not None  # noqa: S101 - a table that was not read whole was streamed
    columns = [pl.Series(name, sample.kept, nan_to_null=True) for name, sample in outcome.stream.samples[side].items()]
    for name, tally in outcome.stream.tallies[side].items():
        counts = getattr(tally, "counts", {})
        total = max(sum(counts.values()), 1)
        texts = [text for text, count in sorted(counts.items()) for _ in range(round(_DRAWN * count / total))]
        columns += [pl.Series(name, texts, dtype=pl.String)] if counts else []
    tall = max(map(len, columns), default=0)  # a picture leaves missing rows out, so the shorter may end in them
    return pl.DataFrame([column.extend_constant(None, tall - len(column)) for column in columns])
