"""Datasets: tables with numbered versions, each one an event of the ledger, kept as Parquet files that Delta readers open too.

From the bottom up: `versions` (the fold of a dataset's events), `delta` (the Delta log, written after the events), `pins` (outside tables by
reference), `store` (versions to be read), `change`, `merge` and `watermark` (how rows come in), `commits` (the one way a version comes to be),
`loading` and `bad_rows` (sources on their way in), `difference` and `version_drift` (two versions compared), `checking` (versions against
contracts), `needs`, `vacuum` and `erasure` (what goes, and what keeps it), `catalog` (what `Project.datasets` is).
"""

from __future__ import annotations

from mlopsfw.data.datasets.catalog import Datasets
from mlopsfw.data.datasets.versions import DatasetVersion

__all__ = ["DatasetVersion", "Datasets"]
