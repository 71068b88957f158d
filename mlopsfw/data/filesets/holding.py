"""Files of people in sets of files, as far as they are not rows of versions; and where an erasure begins."""

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
"""The column of a set of files of which a subject's value may be a pattern."""


class FileSetHolding:
    """Implements `mlopsfw.kernel.component.Holding`: bytes that stay, and what this machine remembers of folders.

    It is asked before the versions lose the rows, by which the bytes are found.

    Args:
        filesets: The sets of files.
    """

    def __init__(self, filesets: FileSets) -> None:
        self._filesets = filesets

    def find(self, scope: ErasureScope) -> Held:
        """Return set → paths that are not the subject's, and hold the very bytes of a file that is. They stay."""
        names = scope.names("data")
        elsewhere = {name: self._filesets.erasure.elsewhere(name, scope.subject) for name in names}
        return Held(shown={"elsewhere": {name: paths for name, paths in elsewhere.items() if paths}})

    def erase(self, scope: ErasureScope) -> Held:
        """Forget what this machine remembers of the folders that were added; return what `find` does."""
        held = self.find(scope)
        for name in scope.names("data"):
            self._filesets.forget(name)
        return held


class ErasureStart:
    """Where an erasure from a dataset begins: implements `mlopsfw.governance.forget.ErasureRoots`.

    Args:
        datasets: The datasets.
        filesets: Those of them that are sets of files.
    """

    def __init__(self, datasets: Datasets, filesets: FileSets) -> None:
        self._datasets, self._filesets = datasets, filesets

    def roots(self, dataset: str, subject: Subject) -> Sequence[str]:
        """Return all versions of a dataset. Raise `UnknownName` where it is not there, or has no such column."""
        versions = self._datasets.log(dataset)
        columns = {column for version in versions for column in version.columns}
        if subject.column not in columns:
            raise UnknownName(
                f"no version of {dataset!r} has a column {subject.column!r}", hint=nearest(subject.column, columns)
            )
        return [version.ref for version in versions]

    def narrowed(self, subject: Subject, datasets: Sequence[str]) -> Subject:
        """Return the subject; of a set of files a pattern of paths is replaced by the paths that it matches."""
        if subject.column != PATH or not self._datasets.log(datasets[0])[0].index:
            return subject
        return subject.among(self._filesets.erasure.paths(datasets, subject.text))
