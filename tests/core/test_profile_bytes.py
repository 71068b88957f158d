"""The bytes of a profile never change, are read on any machine, and damaged ones are an error that says so."""

from __future__ import annotations

import struct
from hashlib import sha256
from zlib import crc32

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw_core.profile import ColumnProfile, ProfileError, TableProfile, profile, profile_column

COLUMNS = {
    "number": pl.Series([1.0, 2.0, None, float("nan"), float("inf")]),
    "text": pl.Series(["a", "ä", None, "a"]),
    "vector": pl.Series([[1.0, 2.0], None], dtype=pl.Array(pl.Float64, 2)),
}
STORED = {name: profile_column(column).to_bytes() for name, column in COLUMNS.items()}

LIST = bytes.fromhex(
    "4d4c435001000000870000002608c50305010300000000000000010000000000000000000000000000000000000000000000"
    "00000000000000000200000000000000000000000000f03f0000000000000040000000000000f83f000000000000e03f0000"
    "000000000000000000000000c03f00000000000000009b5f9b2060464560e800010200000000000000f03f00000000000000"
    "40"
)
DIGESTS = {
    "number": "a6133bdeeebefb301ca869dd2df654153658c650b3da751cbd2c293685791915",
    "text": "528e662c74de94a8a75ab8063587516fde8cd63a8bf151de1a10f6f91bf2cf97",
    "vector": "a0e540ed043228091e14642cc3c91c7a785e363c7ee0152b43f2f16bd150558a",
}


def resealed(body: bytes, version: int = 1) -> bytes:
    return struct.pack("<4sHHII", b"MLCP", version, 0, len(body), crc32(body)) + body


@pytest.mark.parametrize("name", COLUMNS)
def test_what_is_read_is_what_was_written(name):
    found = ColumnProfile.from_bytes(STORED[name])
    assert found.to_bytes() == STORED[name]
    assert found.merge(found).to_bytes() == profile_column(COLUMNS[name]).merge(found).to_bytes()


def test_the_bytes_are_those_of_the_first_release():
    assert profile_column(pl.Series([[1], [2, 3], None])).to_bytes() == LIST
    assert (ColumnProfile.from_bytes(LIST).rows, ColumnProfile.from_bytes(LIST).mean) == (3, 1.5)
    assert {name: sha256(data).hexdigest() for name, data in STORED.items()} == DIGESTS


def test_a_later_version_is_refused():
    with pytest.raises(ProfileError, match="version 2"):
        ColumnProfile.from_bytes(resealed(STORED["number"][16:], version=2))


@pytest.mark.parametrize("name", COLUMNS)
def test_every_cut_and_every_flipped_byte_is_an_error(name):
    data = STORED[name]
    for at in range(len(data)):
        with pytest.raises(ProfileError):
            ColumnProfile.from_bytes(data[:at])
        with pytest.raises(ProfileError):
            ColumnProfile.from_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])


@pytest.mark.parametrize("name", COLUMNS)
@given(data=st.data())
def test_a_damaged_body_under_a_right_checksum_is_read_or_refused_and_never_crashes(name, data):
    body = bytearray(STORED[name][16:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = ColumnProfile.from_bytes(resealed(bytes(body)))
    except ProfileError:
        return
    assert ColumnProfile.from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()
    with np.errstate(all="ignore"):
        assert found.merge(found).rows == 2 * found.rows


@given(st.binary(max_size=300))
def test_arbitrary_bodies_never_crash(body):
    for read, magic in ((ColumnProfile.from_bytes, b"MLCP"), (TableProfile.from_bytes, b"MLTP")):
        try:
            read(struct.pack("<4sHHII", magic, 1, 0, len(body), crc32(body)) + body)
        except ProfileError:
            continue


def test_a_table_keeps_names_and_order():
    frame = pl.DataFrame({"b": [1], "ä": ["x"]})
    found = TableProfile.from_bytes(profile(frame).to_bytes())
    assert list(found.columns) == ["b", "ä"]
