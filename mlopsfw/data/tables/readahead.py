"""How far a process of ours reads ahead of what it computes: the memory of everything streamed is that many row groups.

Polars decodes row groups ahead by the bytes that they take packed, so that a table which packs well is held as a whole long before it is
needed; bounded by number it is as fast. Where somebody has said otherwise in the environment, that holds.
"""

from __future__ import annotations

import os

_NAMES = ("POLARS_ROW_GROUP_PREFETCH_SIZE", "POLARS_RECORD_BATCH_PREFETCH_SIZE")  # of Parquet, of Arrow IPC


def bound_readahead() -> None:
    """Let Polars decode few row groups ahead in this process and those that it starts."""
    for name in _NAMES:
        os.environ.setdefault(name, str(max(2, (os.cpu_count() or 1) // 2)))
