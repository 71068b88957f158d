"""The checks of `mlopsfw doctor` on datasets: missing files, the Delta log, changed references, changed rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import Corrupt, DataError, ReferenceChanged
from mlopsfw.kernel.roles.check import Check, Diagnosis

if TYPE_CHECKING:
    from mlopsfw.data.datasets.catalog import Datasets
    from mlopsfw.data.datasets.versions import DatasetVersion


def checks(datasets: Callable[[], Datasets]) -> tuple[Check, ...]:
    """Return the checks."""
    return (
        Check(
            "datasets",
            "The files of every dataset exist, its Delta log is complete, and references are unchanged",
            lambda: examine(datasets()),
        ),
        Check(
            "rows",
            "Every dataset version still has the rows of its digest",
            lambda: verify(datasets()),
            thorough=True,
        ),
    )


def examine(datasets: Datasets) -> Iterator[Diagnosis]:
    """Check every dataset without reading its rows."""
    files = 0
    newest = datasets.newest()
    for latest in newest:
        if latest.mode == "reference":
            yield from _reference(datasets, latest)
        else:
            files += len(datasets.manifest(latest).files)
            yield from _table(datasets, latest)
    yield Diagnosis("ok", f"{len(newest)} datasets, whose newest versions have {files} files")


def _reference(datasets: Datasets, version: DatasetVersion) -> Iterator[Diagnosis]:
    try:
        datasets.check_pin(version)
    except ReferenceChanged as error:
        yield Diagnosis("warning", error.message, error.hint)


def _table(datasets: Datasets, latest: DatasetVersion) -> Iterator[Diagnosis]:
    tidy = f"Run: mlopsfw data tidy {latest.name}"
    behind = datasets.behind(latest.name)
    if behind:
        yield Diagnosis("warning", f"{latest.name}: the Delta log lacks {behind} versions after a crash", tidy)
    missing, strays = datasets.stocktaking(latest.name)
    for path in missing:
        yield Diagnosis("error", f"{latest.name}: the file {path} is missing", "Restore the storage from a copy.")
    if strays:
        yield Diagnosis("warning", f"{latest.name}: {len(strays)} files belong to no version", tidy)


def verify(datasets: Datasets) -> Iterator[Diagnosis]:
    """Read every version of every dataset again and compare it with its digest."""
    versions = rows = 0
    for latest in datasets.newest():
        checked: set[str] = set()
        for version in datasets.log(latest.name):
            if version.vacuumed or version.digest in checked:
                continue
            checked.add(version.digest)
            try:
                datasets.verify(version)
            except ReferenceChanged:
                continue  # `examine` reports the newest; older references may disappear
            except (Corrupt, DataError) as error:
                yield Diagnosis("error", error.message, error.hint)
            versions, rows = versions + 1, rows + version.rows
    yield Diagnosis("ok", f"{versions} versions with {rows} rows verified")
