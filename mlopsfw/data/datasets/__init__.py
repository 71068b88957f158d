"""Datasets: tables with numbered versions, each one an event of the ledger, kept as Parquet files that Delta readers open too.

From the bottom up: `columns` (what Arrow types are stored as), `files` (Parquet at a table's location), `manifest` (which files make a
version), `versions` (the fold of a dataset's events), `commits` (the one way a version comes to be), `delta` (the Delta log,
written after the events), `sources`, `csvsource` and `jsonsource` (files that people have; `csvoptions`, `csvblocks` and `csvwrong` are CSV's,
`ahead` is their work in threads), `csvtolerant`, `jsontolerant` and `quarantine` (their bad rows), `change`, `merge` and `watermark` (how rows come in), `intake` (files on their way), `pins` (outside tables by reference), `difference`,
`tables` (plain appendable tables, such as captures), `catalog` (the facade that `Project.datasets` is).
"""

from __future__ import annotations

from mlopsfw.data.datasets.catalog import Datasets
from mlopsfw.data.datasets.versions import DatasetVersion

__all__ = ["DatasetVersion", "Datasets"]
