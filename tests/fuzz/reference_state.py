"""Stored references: each is refused with ValueError, or compares with any column and answers with numbers."""

from __future__ import annotations

import atheris
import numpy as np
from inputs import floats, tampered

from mlopsfw_core import Reference

NUMBERS = np.random.default_rng(0).normal(size=40)
STATES = [
    Reference.fit(NUMBERS, max_points=60, bins=4, name="x").to_dict(),
    Reference.fit(NUMBERS, max_points=8, bins=4).to_dict(),
    Reference.fit([1.0, 2.0, 2.0, None, float("nan")]).to_dict(),
    Reference.fit(["a", "b", "b", None]).to_dict(),
    Reference.fit([str(i) for i in range(70)], max_categories=10).to_dict(),
]


def test_one(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    state = tampered(data, data.PickValueInList(STATES))
    try:
        reference = Reference.from_dict(state)
    except ValueError:
        return
    found = reference.compare(floats(data))
    assert 0 <= found.pvalue <= 1
    assert 0 <= found.effect <= 1
    reference.to_dict()
