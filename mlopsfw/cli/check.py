"""`data check`: check a dataset or a file against its data contract, or infer one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, open_formats, open_project, printable, table
from mlopsfw.cli.output_file import OutputFile, write_file
from mlopsfw.data.contracts.model import COLUMN_RULES
from mlopsfw.kernel.base.errors import ContractBroken, UsageError

if TYPE_CHECKING:
    from mlopsfw.data.contracts import Contract, Report

_SHOWN = ("status", "rule", "columns", "rows", "share", "found", "expected")
_WIDE = 60  # letters of a cell


@click.command()
@click.argument("target", metavar="NAME[@VERSION]|FILE")
@click.option(
    "--contract",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The contract. By default that of [data.NAME].",
)
@click.option("--infer", is_flag=True, help="Infer a contract from rows that are good, instead of checking.")
@click.option(
    "-o",
    "--output",
    type=OutputFile(makes_folders=True),
    help="The file that --infer writes. By default it prints.",
)
@click.option("--force", is_flag=True, help="With -o, overwrite an existing file.")
@click.option("--html", type=OutputFile(), help="Write a page with the failing rows to this file.")
@click.option("--all", "everything", is_flag=True, help="List also the rules that hold.")
@json_option
@click.pass_context
def check(
    context: click.Context,
    /,
    *,
    target: str,
    file: Path | None,
    infer: bool,
    output: Path | None,
    force: bool,
    html: Path | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Check a version of a dataset, or a file, against a data contract. Exit with 4 if a rule fails.

    Write a first contract from good rows with --infer, then edit it. docs/contracts.md describes the file.
    """
    if infer and (file or html):
        raise UsageError("--infer writes a contract and checks none", hint="Leave --contract and --html out.")
    if output and not infer:
        raise UsageError("-o needs --infer", hint=f"Write mlopsfw data check {target} --infer -o {output}.")
    if infer:
        _infer(context, target, output, force=force, as_json=as_json)
        return
    report = _check(context, target, file)
    if html is not None:
        from mlopsfw.data.contracts.page import render

        write_file(html, render(report))
    if as_json:
        emit_json(report.to_dict())
    else:
        _print(report, everything=everything)
    if not report.passed:
        raise ContractBroken(printable(f"{report.subject} breaks {_counted(len(report.failed))} of {report.contract}"))


def _is_file(target: str) -> bool:
    return Path(target).exists() or (
        any(sign in target for sign in ("/", "\\", "*")) and not target.startswith("data:/")
    )


def _check(context: click.Context, target: str, file: Path | None) -> Report:
    from mlopsfw.data.contracts import subjects

    if not _is_file(target):
        return open_project(context).contract_checks.check_version(target, file)
    if file is None:
        raise UsageError(
            f"{target} is a file, and files have no contract of their own",
            hint=f"mlopsfw data check {target} --contract FILE",
        )
    return subjects.check_file(open_formats(context), Path(target), file, now=_now(), personal=_personal(context))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _personal(context: click.Context) -> Collection[str]:
    """Return every column that some dataset marks as personal, since the file may belong to any. Without a project return none."""
    from mlopsfw.project.config import find_project

    options = context.find_root().obj or {}
    try:
        find_project(options.get("project"))
    except UsageError:
        if options.get("project"):
            raise
        return ()
    return open_project(context).privacy.everywhere


def _infer(context: click.Context, target: str, output: Path | None, *, force: bool, as_json: bool) -> None:
    from mlopsfw.data.contracts import subjects

    if output and output.exists() and not force:
        raise UsageError(f"{output} exists already", hint="Name another file, or overwrite it with --force.")
    text, contract = (
        subjects.infer_file(open_formats(context), Path(target), _personal(context))
        if _is_file(target)
        else open_project(context).contract_checks.infer_version(target)
    )
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_file(output, text)
    if as_json:
        emit_json(contract)
    elif output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{output}: {_size(contract)}. Read it, edit it, and keep it with the code.")


def _size(contract: Contract) -> str:
    columns = contract.columns.values()
    rules = sum(getattr(column, rule) not in (None, False) for column in columns for rule in COLUMN_RULES)
    return f"{rules + len(contract.unique) + len(contract.rule)} rules on {len(contract.columns)} columns"


def _counted(rules: int) -> str:
    return "1 rule" if rules == 1 else f"{rules:,} rules"


def _print(report: Report, *, everything: bool) -> None:
    shown = [result for result in report.results if everything or result.status != "pass"]
    rows = [
        {
            "status": each.status,
            "rule": _cut(each.rule),
            "columns": _cut(each.subject),
            "rows": each.failing or None,
            "share": f"{each.share:.2%}" if each.share else None,
            "found": _cut(each.found),
            "expected": _cut(each.expected),
        }
        for each in shown
    ]
    table(rows, _SHOWN, empty="Every rule holds.")
    click.echo(f"{printable(report.subject)}: {report.summary()}.")


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}…"
