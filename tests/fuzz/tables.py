"""Fit and compare whole columns of anything: numbers of any bit pattern, nulls, texts, mixtures of types."""

from __future__ import annotations

import json
from typing import Any

import atheris
from inputs import floats

from mlopsfw_core import Reference


def column(data: atheris.FuzzedDataProvider) -> Any:
    """Take a column of numbers, of texts with nulls, or of Python values of several types."""
    kind = data.ConsumeIntInRange(0, 2)
    if kind == 0:
        return floats(data)
    texts = [data.ConsumeUnicodeNoSurrogates(3) for _ in range(data.ConsumeIntInRange(0, 12))]
    mixed = [None, True, 0.5, 3, 3.0, float("nan"), b"\xff", "text"]
    return [data.PickValueInList([*mixed, text]) if kind > 1 else text or None for text in texts]


def test_one(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    reference = Reference.fit(column(data), max_points=data.PickValueInList([4, 20, 4096]), max_categories=5)
    reference = Reference.from_dict(json.loads(json.dumps(reference.to_dict(), allow_nan=False)))
    found = reference.compare(column(data))
    assert 0 <= found.pvalue <= 1
    assert 0 <= found.effect <= 1
    json.dumps([found.value, dict(found.details)], allow_nan=False)
