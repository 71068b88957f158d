"""Rows with every type of column that a module of the user's own can read."""

from __future__ import annotations

import numpy as np
import polars as pl


def everything(rows: int, items: list[list[int]] | None = None) -> pl.DataFrame:
    """Return rows in which the text tells the label; `items` are lists of one to eight numbers unless they are given."""
    draw = np.random.default_rng(3)
    flags = draw.random(rows) < 0.5
    return pl.DataFrame(
        {
            "image": pl.Series(draw.integers(0, 17, (rows, 4, 4)).tolist(), dtype=pl.List(pl.List(pl.UInt8))),
            "text": ["good" if flag else "bad, über" for flag in flags],
            "items": items or [draw.integers(0, 10, length).tolist() for length in draw.integers(1, 9, rows)],
            "octets": [draw.bytes(2) for _ in range(rows)],
            "number": draw.normal(0, 1, rows),
            "count": draw.integers(0, 5, rows),
            "flag": draw.random(rows) < 0.5,
            "label": flags,
        }
    )
