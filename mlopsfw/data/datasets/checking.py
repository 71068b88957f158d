"""`ContractChecks`: versions of datasets, and a step's rows, checked against contracts; and how the result is kept.

A result is the event `dataset.checked` in the dataset's stream: counts and names of rules and columns, never a value.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.contracts.distribution import compare, without_previous
from mlopsfw.data.contracts.evaluation import judge
from mlopsfw.data.contracts.loading import load_known
from mlopsfw.data.contracts.results import worst_first
from mlopsfw.data.contracts.subjects import infer_rows, readable
from mlopsfw.data.datasets.events import BrokenRule, DatasetChecked
from mlopsfw.data.tables.calendar import check_calendar
from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.contracts.loading import Origin
    from mlopsfw.data.contracts.model import Contract, Distribution
    from mlopsfw.data.contracts.results import Report, Result
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.kernel.services import Services
    from mlopsfw.privacy.marks import Privacy


class ContractChecks:
    """Checks rows, with the facts about datasets.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        privacy: Which columns are personal.
    """

    def __init__(self, services: Services, store: VersionStore, privacy: Privacy) -> None:
        self._services, self._store, self._privacy = services, store, privacy

    def check_version(self, ref: str, file: Path | None = None) -> Report:
        """Check a dataset's version, and record the result.

        Args:
            ref: `name` or `name@version`.
            file: The contract; None for the one of `[data.NAME]`.

        Raises:
            UsageError: The dataset has no contract.
            ConfigError: The contract cannot be read.
            DataError: The rows cannot be read.
        """
        version = self._store.resolve(ref)
        contract, origin = self._contract(version.name, file)
        report = self.check(self._store.scan(version), contract, origin, subject=version.ref, version=version)
        self.record(version, report)
        return report

    def _contract(self, name: str, file: Path | None) -> tuple[Contract, Origin]:
        """Return a dataset's contract and its name in a report: the file and its digest."""
        if file is None:
            file = self._store.contract_file(name)
            if file is None:
                raise UsageError(
                    f"dataset {name!r} has no contract",
                    hint=f'Write one with `mlopsfw data check {name} --infer -o contracts/{name}.toml`, '
                    f'then write [data.{name}] contract = "contracts/{name}.toml" or pass --contract FILE.',
                )  # fmt: skip
        root = self._services.workspace.root
        label = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
        return load_known(file, label)

    def check(
        self, rows: pl.LazyFrame, contract: Contract, origin: Origin, *, subject: str, version: DatasetVersion | None
    ) -> Report:
        """Check rows. A version is also compared with the previous one. Raise `DataError` if the rows cannot be read."""
        personal = set(self._privacy.everywhere) | set(version.pii if version else ())
        with readable(subject):
            check_calendar(rows, subject)
            report = judge(rows, contract, now=self._now(), personal=personal, subject=subject, **origin)
            if contract.distribution is None:
                return report
            more = self._distribution(version, contract.distribution)
        return msgspec.structs.replace(report, results=worst_first([*report.results, *more]))

    def record(self, version: DatasetVersion, report: Report) -> None:
        """Record the result as an event of the dataset."""
        self._store.stream(version.name).append(_checked(version.version, report))

    def infer_version(self, ref: str) -> tuple[str, Contract]:
        """Return the contract inferred from a dataset's version, as a file's text and as its rules."""
        version = self._store.resolve(ref)
        marks = set(self._privacy.marks(version.name)) | set(version.pii)
        with readable(version.ref):
            return infer_rows(self._store.scan(version), version.ref, version.name, self._now(), marks)

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._services.clock.now(), dt.UTC)

    def _distribution(self, version: DatasetVersion | None, rule: Distribution) -> list[Result]:
        """Return a result for each column: whether it has drifted since the previous version. Without one the rule is skipped."""
        if version is None or version.version == 1:
            return without_previous(rule, "there is no previous version")
        before = self._store.resolve(f"data:/{version.name}@{version.version - 1}")
        if before.vacuumed:
            return without_previous(rule, f"{before.ref} was vacuumed")
        if version.digest == before.digest:
            return without_previous(rule, f"{before.ref} has the same rows")
        return compare(self._store.scan(before), self._new_rows(before, version), rule, before.ref)

    def _new_rows(self, before: DatasetVersion, version: DatasetVersion) -> pl.LazyFrame:
        """Return the rows that the version added, if it only added files: the others belong to the previous version."""
        if not (before.manifest and version.manifest):
            return self._store.scan(version)
        old = {file.path for file in self._store.manifest(before).files}
        files = self._store.manifest(version).files
        new = [file for file in files if file.path not in old]
        if not new or len(files) - len(new) < len(old):
            return self._store.scan(version)
        return self._store.files(version.name).scan(tuple(new))


def _checked(version: int, report: Report) -> DatasetChecked:
    broken = tuple(
        BrokenRule(rule=each.rule, columns=tuple(each.columns), level=each.level, rows=each.failing)
        for each in (*report.failed, *report.warned)
    )
    return DatasetChecked(
        version=version,
        contract=report.contract,
        contract_digest=report.digest,
        rows=report.rows,
        rules=len(report.results),
        passed=report.passed,
        failed=len(report.failed),
        broken=broken,
    )
