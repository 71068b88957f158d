"""Limit how far our processes read ahead: streaming holds that many row groups in memory.

Polars limits its read-ahead by packed bytes, so it holds a table that packs well as a whole long before it is needed. A limit on the number of
row groups is as fast. A setting in the environment has precedence.

"""

from __future__ import annotations

import os

_NAMES = ("POLARS_ROW_GROUP_PREFETCH_SIZE", "POLARS_RECORD_BATCH_PREFETCH_SIZE")  # of Parquet, of Arrow IPC


def bound_readahead() -> None:
    """Let Polars decode few row groups ahead, in this process and its children."""
    for name in _NAMES:
        os.environ.setdefault(name, str(max(2, (os.cpu_count() or 1) // 2)))
