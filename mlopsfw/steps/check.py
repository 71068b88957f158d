"""The built-in step `check`: passes rows that fulfil their contract on unchanged, or ends the run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mlopsfw.kernel.base.errors import ContractBroken, UsageError
from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.contracts import Contract
    from mlopsfw.data.contracts.loading import Origin
    from mlopsfw.data.contracts.results import Report
    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.kernel.roles.host import Host


class Checks(Protocol):
    """Checks rows against contracts."""

    def check(
        self, rows: pl.LazyFrame, contract: Contract, origin: Origin, *, subject: str, version: DatasetVersion | None
    ) -> Report:
        """Check rows. A dataset's version is also compared with the previous one. Raise `DataError` if the rows cannot be read."""
        ...

    def record(self, version: DatasetVersion, report: Report) -> None:
        """Record the result as an event of the dataset."""
        ...


class CheckParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.check]`.

    Args:
        contract: The contract's file, relative to the project; or the contract itself, as tables below the step's.
    """

    contract: str | dict[str, Any]


def _facts(params: CheckParams, host: Host) -> Mapping[str, object]:
    """A contract with a rule on freshness depends on the current time: its step runs every time."""
    if isinstance(params.contract, str) and not (host.root / params.contract).is_file():
        return {}  # the step reports it
    contract, _ = _contract(params, host, "check")
    aged = any(rules.freshness for rules in contract.columns.values())
    return {"checked at": new_run_id()} if aged else {}


def _contract(params: CheckParams, host: Host, step: str) -> tuple[Contract, Origin]:
    from mlopsfw.data.contracts.loading import load_known, read_contract

    if isinstance(params.contract, str):
        return load_known(host.root / params.contract, params.contract)
    config = ProjectConfig.from_json(host.config)
    found = read_contract(params.contract, file=config.file, lines=config.lines, above=f"steps.{step}.contract")
    digest = hashlib.sha256(msgspec.json.encode(found, order="deterministic")).hexdigest()
    return found, {"file": f"{Path(config.file).name or 'mlopsfw.toml'} [steps.{step}]", "digest": digest}


def _run(params: CheckParams, host: Host, context: StepContext, *, contracts: Checks) -> Mapping[str, Any]:
    import polars as pl

    rows = context.inputs["rows"]
    if rows.kind not in ("table", "dataset"):
        raise UsageError(f"step {context.step} needs a table of rows, not a {rows.kind}")
    contract, origin = _contract(params, host, context.step)
    version: DatasetVersion | None = context.datasets.resolve(rows) if rows.kind == "dataset" else None
    subject = version.ref if version else f"the rows of step {context.step}"
    lazy = context.load("rows", pl.LazyFrame)
    report = contracts.check(lazy, contract, origin, subject=subject, version=version)
    if version is not None:
        contracts.record(version, report)
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
    return {"rows": rows, "report": report.to_dict(examples=False)}


def build(params: CheckParams, host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params, host),
        inputs=("rows",),
        outputs=("rows", "report"),
        reads=(params.contract,) if isinstance(params.contract, str) else (),
        facts=partial(_facts, params, host),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `check`."""
    yield Provider("check", CheckParams, build, "Check rows against a data contract; pass them on or fail")
