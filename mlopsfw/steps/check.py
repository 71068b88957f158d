"""The built-in step `check`: rows that keep their contract are let through as they are; others end the run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import ContractBroken, UsageError
from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.pipeline.graph.step import BuiltinStep, StepContext

if TYPE_CHECKING:
    from mlopsfw.data.contracts import Contract
    from mlopsfw.data.contracts.loading import Origin
    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.project.facade import Project


class CheckParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.check]`.

    Args:
        contract: The contract's file, relative to the project; or the contract itself, as tables below the step's.
    """

    contract: str | dict[str, Any]


def _reads(params: CheckParams) -> Iterable[str]:
    return (params.contract,) if isinstance(params.contract, str) else ()


def _facts(project: Project, params: CheckParams) -> Mapping[str, object]:
    """A contract that asks for freshness is about this moment: its step runs every time."""
    if isinstance(params.contract, str) and not (project.root / params.contract).is_file():
        return {}  # the step will say so
    contract, _ = _contract(project, params, "check")
    aged = any(rules.freshness for rules in contract.columns.values())
    return {"checked at": new_run_id()} if aged else {}


def _contract(project: Project, params: CheckParams, step: str) -> tuple[Contract, Origin]:
    from mlopsfw.data.contracts.loading import load_known, read_contract

    if isinstance(params.contract, str):
        return load_known(project.root / params.contract, params.contract)
    config = project.config
    found = read_contract(params.contract, file=config.file, lines=config.lines, above=f"steps.{step}.contract")
    digest = hashlib.sha256(msgspec.json.encode(found, order="deterministic")).hexdigest()
    return found, {"file": f"{Path(config.file).name or 'mlopsfw.toml'} [steps.{step}]", "digest": digest}


def _run(context: StepContext, params: CheckParams) -> Mapping[str, Any]:
    import polars as pl

    from mlopsfw.data.contracts import subjects

    project, rows = context.project, context.inputs["rows"]
    if rows.kind not in ("table", "dataset"):
        raise UsageError(f"step {context.step} checks a table, and its rows are a {rows.kind}")
    contract, origin = _contract(project, params, context.step)
    version: DatasetVersion | None = project.datasets.resolve(rows) if rows.kind == "dataset" else None
    subject = version.ref if version else f"the rows of step {context.step}"
    lazy = context.load("rows", pl.LazyFrame)
    report = subjects.check_rows(project, lazy, contract, subject=subject, version=version, **origin)
    if version is not None:
        subjects.record(project, version, report)
    for result in report.warned:
        context.log(f"warning: {result}")
    for name, number in (
        ("failed", len(report.failed)),
        ("warned", len(report.warned)),
        ("rules", len(report.results)),
    ):
        context.log_metric(name, number)
    if not report.passed:
        listed = "".join(f"\n  - {result}" for result in report.failed)
        raise ContractBroken(f"step {context.step}: {subject} breaks {report.contract}: {report.summary()}:{listed}")
    context.log(report.summary())
    return {"rows": rows, "report": report.told(examples=False)}


STEP = BuiltinStep(
    name="check",
    run=_run,
    params=CheckParams,
    inputs=("rows",),
    outputs=("rows", "report"),
    reads=_reads,
    facts=_facts,
    summary="Check rows against a data contract; let them through or fail",
)
