"""Texts whose offsets pass 2^31 promise the answers of the same texts near 0. The gap is a sparse file's hole, mapped but never read."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlopsfw_core import Reference, drift, hash_features, hash_indices, hash_text
from mlopsfw_core._text import category_counts
from mlopsfw_core.profile import profile_column

PAST = 2**31 + 5
WORDS = ["a text of more than twelve bytes", "b", "", "é", "b", "twelve bytes", "b"]
KINDS = {pa.large_string(): WORDS, pa.large_binary(): [word.encode() for word in WORDS]}


@pytest.fixture(scope="module")
def hole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pa.Buffer]:
    """Map a file of 2 GiB of nothing and then the words."""
    path: Path = tmp_path_factory.mktemp("sparse") / "texts"
    with path.open("w+b") as file:
        file.seek(PAST)
        file.write("".join(WORDS).encode())
        file.flush()
        assert path.stat().st_blocks * 512 < 2**20, "the file system keeps no holes"
        yield pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def past(hole: pa.Buffer, kind: pa.DataType, *, missing: int | None = None) -> pa.Array:
    """Return the words as a column whose first row is one null over the hole, and the rest past 2^31."""
    ends = PAST + np.cumsum([0, *(len(word.encode()) for word in WORDS)])
    offsets = np.array([0, *ends], dtype=np.int64)
    valid = np.array([False, *(i != missing for i in range(len(WORDS)))])
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.Array.from_buffers(kind, len(valid), [bitmap, pa.py_buffer(offsets), hole])


ENTRIES = {
    "hash_indices": lambda column: hash_indices(column, 1 << 20).tolist(),
    "hash_features": lambda column: [
        part.tolist() for part in hash_features({"a": column, "b": column}, crosses=[("a", "b")])[:3]
    ],
    "hash_text": lambda column: [part.tolist() for part in hash_text(column)[:3]],
    "category_counts": category_counts,
    "profile": lambda column: profile_column(column).to_bytes(),
    "Reference": lambda column: Reference.fit(column).to_dict(),
    "chi2": lambda column: drift.chi2_2samp(column, WORDS, "categories"),
}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("missing", [None, 0, 3])
@pytest.mark.parametrize("entry", ENTRIES)
def test_texts_past_2_gib_are_read_as_near_0(hole, entry, missing, kind):
    column = past(hole, kind, missing=missing)
    near = [None if i == missing else word for i, word in enumerate(KINDS[kind])]
    for rows in (slice(None), slice(1, None), slice(3, 6)):
        assert answer(entry, column[rows]) == answer(entry, pa.array([None, *near], kind)[rows])
    chunked = pa.chunked_array([column[1:4], column[4:]])
    assert answer(entry, chunked) == answer(entry, pa.array(near, kind))


def answer(entry: str, column: pa.Array | pa.ChunkedArray) -> object:
    """Return what an entry answers; bytes may be refused, by name."""
    try:
        return ENTRIES[entry](column)
    except TypeError as error:
        assert pa.types.is_large_binary(column.type)
        return str(error)


def test_nothing_of_the_hole_was_read(hole):
    assert resident(hole.address, hole.size) < 2**26


def resident(address: int, size: int) -> int:
    """Return how many bytes of the mapping that holds an address are in memory."""
    mapped = Path("/proc/self/smaps").read_text(encoding="ascii").split("\n")
    at = next(i for i, line in enumerate(mapped) if line.startswith(f"{address:x}-"))
    return next(int(line.split()[1]) * 1024 for line in mapped[at:] if line.startswith("Rss:")) if size else 0
