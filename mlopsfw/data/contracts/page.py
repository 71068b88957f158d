"""A report as one HTML page: every rule, and rows that break it."""

from __future__ import annotations

from mlopsfw.data.contracts.results import HIDDEN, Report, Result
from mlopsfw.pages import escape, framed

_FOOTER = (
    "Worst first. The page shows at most five rows for each broken rule, with the rule's own columns first. Row numbers start at 0. "
    f"{HIDDEN} stands for the values of personal columns."
)


def render(report: Report) -> str:
    """Return the page."""
    return framed(
        "mlopsfw.data.contracts",
        report.subject,
        _FOOTER,
        state="fail" if report.failed else "warn" if report.warned else "pass",
        summary=escape(report.summary()),
        contract=escape(f"contract {report.contract}, {report.digest[:12]}"),
        broken=_broken(report),
        rules="".join(map(_row, report.results)),
    )


def _row(result: Result) -> str:
    words = (escape(text) for text in (result.rule, result.subject))
    rows, share = (f"{result.failing:,}" if result.failing else "", f"{result.share:.2%}" if result.share else "")
    return (
        f'<tr><td class="{result.status}">{result.status}<td>{"<td>".join(words)}<td class="n">{rows}<td class="n">{share}'
        f"<td>{escape(result.found)}<td>{escape(result.expected)}</tr>"
    )


def _broken(report: Report) -> str:
    results = [result for result in (*report.failed, *report.warned) if result.examples]
    if not results:
        return ""
    return "<h2>Rows that break rules</h2>" + "".join(map(_examples, results))


def _examples(result: Result) -> str:
    names = list(result.examples[0])
    head = "".join(f"<th>{escape(name)}" for name in names)
    body = "".join(
        "<tr>" + "".join(_cell(row.get(name), is_ruled=name in result.columns) for name in names) + "</tr>"
        for row in result.examples
    )
    title = f'<b class="{result.status}">{result.status}</b> {escape(str(result))}'
    return (
        f"<details{' open' if result.status == 'fail' else ''}><summary>{title}</summary>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>'
    )


def _cell(value: str | None, *, is_ruled: bool) -> str:
    mark = ' class="own"' if is_ruled else ""
    return f"<td{mark}>{'<i>null</i>' if value is None else escape(value)}"
