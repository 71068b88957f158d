"""Which versions of a dataset are needed, and why. Each component answers for itself; datasets need tagged versions and unsettled bad rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsfw.data.datasets.catalog import Datasets

Needs = dict[int, list[str]]
"""Version → the reasons why it is needed, for people."""

Need = Callable[[str], Iterable[tuple[int, str]]]
"""Yields versions of the dataset of that name, each with a reason why it is needed."""


def joined(needs: Iterable[Need]) -> Callable[[str], Needs]:
    """Return the answers of all `needs`, in order. Versions that nothing needs are left out."""
    sources = tuple(needs)

    def ask(name: str) -> Needs:
        by_version: defaultdict[int, list[str]] = defaultdict(list)
        for need in sources:
            for version, reason in need(name):
                by_version[version].append(reason)
        return {version: list(dict.fromkeys(reasons)) for version, reasons in by_version.items()}

    return ask


def numbers_of(name: str, refs: Iterable[str]) -> list[int]:
    """Return the version numbers of a dataset among exact references."""
    prefix = f"data:/{name}@"
    return sorted(int(ref.removeprefix(prefix)) for ref in refs if ref.startswith(prefix))


def of_tags(datasets: Datasets, name: str) -> Iterator[tuple[int, str]]:
    """Yield the tagged versions."""
    for tag, version in datasets.history(name).tags.items():
        yield version, f"the tag {tag!r}"


def of_bad_rows(datasets: Datasets, name: str) -> Iterator[tuple[int, str]]:
    """Yield the versions with bad rows in quarantine that nobody has settled."""
    versions = datasets.history(name).versions
    open_ = (version for version in versions if version.intake.get("batch") and "settled" not in version.intake)
    loads = {version.intake["batch"]: version.version for version in open_}
    if not loads:
        return
    waiting = {row.batch for row in datasets.quarantine(name)}
    for batch in sorted(loads.keys() & waiting):
        yield loads[batch], "rows of its load are in quarantine"
