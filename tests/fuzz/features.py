"""Feature hashing of any strings, bytes and numbers: the plain-Python hash, whole matrices, or the documented errors."""

from __future__ import annotations

import itertools

import atheris
import oracle

from mlopsfw_core import hash_features, murmurhash3_32


def rows(data: atheris.FuzzedDataProvider, kind: str) -> list:
    """Take a few rows in one of the three forms; names may hold surrogates, values any double."""

    def name() -> str:
        return data.ConsumeUnicode(data.ConsumeIntInRange(0, 300 if data.ConsumeBool() else 8))

    def value() -> float | str:
        return name() if data.ConsumeBool() else data.ConsumeFloat()

    def row() -> list | dict:
        size = data.ConsumeIntInRange(0, 4)
        if kind == "string":
            return [name() for _ in range(size)]
        pairs = [(name(), value()) for _ in range(size)]
        return pairs if kind == "pair" else dict(pairs)

    return [row() for _ in range(data.ConsumeIntInRange(0, 4))]


def test_one(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    seed = data.ConsumeIntInRange(0, 2**32 - 1)
    key = data.ConsumeBytes(data.ConsumeIntInRange(0, 40))
    assert murmurhash3_32(key, seed, positive=True) == oracle.murmurhash3_32(key, seed)
    kind, width = (
        data.PickValueInList(["dict", "pair", "string"]),
        data.PickValueInList([1, 2, 7, 64, 2**20, 2**31 - 1]),
    )
    table = rows(data, kind)
    try:
        matrix = hash_features(table, width, input_type=kind)
    except ValueError:  # no rows, or a name that is not UTF-8
        return
    assert matrix.shape == (len(table), width)
    assert matrix.indptr[-1] == matrix.indices.size == matrix.data.size
    for begin, end in itertools.pairwise(matrix.indptr.tolist()):
        slots = matrix.indices[begin:end].tolist()
        assert slots == sorted(set(slots))
        assert all(0 <= slot < width for slot in slots)
