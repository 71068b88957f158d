"""What needs the versions of a dataset. Each room answers for itself; here are the answers of datasets: tags, and bad rows not yet settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsfw.data.datasets.catalog import Datasets

Needs = dict[int, list[str]]
"""Version → what needs it, for people."""

Need = Callable[[str], Iterable[tuple[int, str]]]
"""Gives versions of the dataset of that name, each with a reason why it is needed."""


def joined(needs: Iterable[Need]) -> Callable[[str], Needs]:
    """Return what asks each of `needs` in order; versions that nothing needs are not in the answer."""
    sources = tuple(needs)

    def ask(name: str) -> Needs:
        by_version: defaultdict[int, list[str]] = defaultdict(list)
        for need in sources:
            for version, reason in need(name):
                by_version[version].append(reason)
        return {version: list(dict.fromkeys(reasons)) for version, reasons in by_version.items()}

    return ask


def numbers_of(name: str, refs: Iterable[str]) -> list[int]:
    """Return the numbers of the versions of a dataset among exact references."""
    prefix = f"data:/{name}@"
    return sorted(int(ref.removeprefix(prefix)) for ref in refs if ref.startswith(prefix))


def of_tags(datasets: Datasets, name: str) -> Iterator[tuple[int, str]]:
    """Yield the versions that a tag is on."""
    for tag, version in datasets.history(name).tags.items():
        yield version, f"the tag {tag!r}"


def of_bad_rows(datasets: Datasets, name: str) -> Iterator[tuple[int, str]]:
    """Yield the versions whose load set rows aside that are still there."""
    versions = datasets.history(name).versions
    open_ = (version for version in versions if version.intake.get("batch") and "settled" not in version.intake)
    loads = {version.intake["batch"]: version.version for version in open_}
    if not loads:
        return
    waiting = {row.batch for row in datasets.quarantine(name)}
    for batch in sorted(loads.keys() & waiting):
        yield loads[batch], "rows of its load are in quarantine"
