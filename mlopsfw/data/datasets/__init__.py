"""Datasets: tables with numbered versions. Each version is an event of the ledger, stored as Parquet files that Delta readers can open.

From the bottom up: `versions` (versions folded from a dataset's events), `delta` (the Delta log, written after the events), `pins` (outside
tables by reference), `store` (reads versions), `change`, `merge` and `watermark` (how rows enter), `commits` (the only way to make a version),
`loading` and `bad_rows` (sources on their way in), `difference` and `version_drift` (compare two versions), `checking` (versions against
contracts), `needs`, `vacuum` and `erasure` (which versions go or stay), `catalog` (`Project.datasets`).

"""

from __future__ import annotations

from mlopsfw.data.datasets.catalog import Datasets
from mlopsfw.data.datasets.versions import DatasetVersion

__all__ = ["DatasetVersion", "Datasets"]
