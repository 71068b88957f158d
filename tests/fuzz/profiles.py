"""Stored profiles: each is refused with ProfileError, or is written and read again as the same bytes, merges and answers."""

from __future__ import annotations

import struct
from zlib import crc32

import atheris
import numpy as np
import polars as pl

from mlopsfw_core.profile import ColumnProfile, ProfileError, TableProfile, profile, profile_column

HEAD = 16
COLUMNS = {
    "number": pl.Series([1.0, 2.0, None, float("nan"), float("inf")]),
    "text": pl.Series(["a", "ä", None, "a"]),
    "time": pl.Series([0, 10**6, None], dtype=pl.Datetime("us")),
    "flag": pl.Series([True, False, None]),
    "vector": pl.Series([[1.0, 2.0], None], dtype=pl.Array(pl.Float64, 2)),
}
STORED = [profile_column(column).to_bytes() for column in COLUMNS.values()]
TABLE = profile(pl.DataFrame({"a": [1, 2], "b": ["x", None]})).to_bytes()


def sealed(magic: bytes, body: bytes) -> bytes:
    """Put a right header and checksum before a body, so that the damage is found by the parser behind them."""
    return struct.pack("<4sHHII", magic, 1, 0, len(body), crc32(body)) + body


def damaged(data: atheris.FuzzedDataProvider, body: bytes) -> bytes:
    """Set up to eight bytes, put some in or take some out."""
    changed = bytearray(body)
    for _ in range(data.ConsumeIntInRange(0, 8)):
        at = data.ConsumeIntInRange(0, len(changed) - 1)
        kind = data.ConsumeIntInRange(0, 5)
        if kind == 0:
            changed[at:at] = data.ConsumeBytes(data.ConsumeIntInRange(0, 16))
        elif kind == 1 and len(changed) > HEAD:
            del changed[at : at + data.ConsumeIntInRange(1, 8)]
        else:
            changed[at] = data.ConsumeIntInRange(0, 255)
        changed = changed or bytearray(1)
    return bytes(changed)


def test_one(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    kind = data.ConsumeIntInRange(0, 7)
    try:
        if kind == 0:
            TableProfile.from_bytes(sealed(b"MLTP", damaged(data, TABLE[HEAD:])))
            return
        if kind == 1:
            ColumnProfile.from_bytes(data.ConsumeBytes(512))
            return
        found = ColumnProfile.from_bytes(sealed(b"MLCP", damaged(data, data.PickValueInList(STORED)[HEAD:])))
    except ProfileError:
        return
    assert ColumnProfile.from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()
    with np.errstate(all="ignore"):
        assert found.merge(found).rows == 2 * found.rows
    found.frequent_items()
