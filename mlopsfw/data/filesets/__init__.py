"""Sets of files that are not tables: a dataset of their paths, sizes and digests, with their bytes in blobs.

`walk` finds files, `known` remembers which were read before, `packs` stores new ones, `index` locates their bytes, `adding` combines these;
`fileset` reads a version, and `getting` writes it to a folder.

"""

from __future__ import annotations

from mlopsfw.data.filesets.fileset import FileSet

__all__ = ["FileSet"]
