"""Sets of files that are no tables: a dataset of their paths, sizes and digests, and their bytes in blobs.

`walk` finds files, `known` remembers which were read before, `packs` stores what is new, `index` says where bytes are, `adding` puts that together,
`fileset` reads a version, `getting` lays it out in a folder.
"""

from __future__ import annotations

from mlopsfw.data.filesets.fileset import FileSet

__all__ = ["FileSet"]
