"""People's files in sets of files, apart from the rows of versions; and the start of an erasure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.component import Held

if TYPE_CHECKING:
    from mlopsfw.data.datasets.catalog import Datasets
    from mlopsfw.data.filesets.catalog import FileSets
    from mlopsfw.governance.subject import Subject
    from mlopsfw.kernel.component import ErasureScope

PATH = "path"
"""The column of a set of files in which a subject's value may be a pattern."""


class FileSetHolding:
    """Implements `mlopsfw.kernel.component.Holding`: bytes that stay, and this machine's cache of folders.

    It runs before the versions lose their rows, which lead to the bytes.

    Args:
        filesets: The sets of files.
    """

    def __init__(self, filesets: FileSets) -> None:
        self._filesets = filesets

    def find(self, scope: ErasureScope) -> Held:
        """Return set → other paths with the same bytes as a file of the subject. They stay."""
        names = scope.names("data")
        elsewhere = {name: self._filesets.erasure.elsewhere(name, scope.subject) for name in names}
        return Held(shown={"elsewhere": {name: paths for name, paths in elsewhere.items() if paths}})

    def erase(self, scope: ErasureScope) -> Held:
        """Delete the cache of the added folders; return the result of `find`."""
        held = self.find(scope)
        for name in scope.names("data"):
            self._filesets.forget(name)
        return held


class ErasureStart:
    """The start of an erasure from a dataset: implements `mlopsfw.governance.forget.ErasureRoots`.

    Args:
        datasets: The datasets.
        filesets: The sets of files among them.
    """

    def __init__(self, datasets: Datasets, filesets: FileSets) -> None:
        self._datasets, self._filesets = datasets, filesets

    def roots(self, dataset: str, subject: Subject) -> Sequence[str]:
        """Return all versions of a dataset. Raise `UnknownName` if it does not exist, or lacks the column."""
        versions = self._datasets.log(dataset)
        columns = {column for version in versions for column in version.columns}
        if subject.column not in columns:
            raise UnknownName(
                f"no version of {dataset!r} has a column {subject.column!r}", hint=nearest(subject.column, columns)
            )
        return [version.ref for version in versions]

    def narrowed(self, subject: Subject, datasets: Sequence[str]) -> Subject:
        """Return the subject. For a set of files, replace a pattern of paths by the paths that it matches."""
        if subject.column != PATH or not self._datasets.log(datasets[0])[0].index:
            return subject
        return subject.among(self._filesets.erasure.paths(datasets, subject.text))
