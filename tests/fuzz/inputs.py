"""What every fuzz target makes of the fuzzer's bytes: floats of any bit pattern, and stored states with odd values in them."""

from __future__ import annotations

import copy
from typing import Any

import atheris
import numpy as np

ODD = [None, True, [], {}, [[1, 2]], "inf", "nan", "-inf", 2**31, 2**62, 2**64, -(2**63), 1e308, -0.0, 0.5, 5e-324]


def floats(data: atheris.FuzzedDataProvider, most: int = 48) -> np.ndarray:
    """Take doubles: raw bits (every NaN, infinity and denormal), or a few small numbers, so that ties come about."""
    size = data.ConsumeIntInRange(0, most)
    if data.ConsumeBool():
        raw = data.ConsumeBytes(8 * size)
        return np.frombuffer(raw[: len(raw) // 8 * 8], dtype=np.float64)
    return np.array(data.ConsumeIntListInRange(size, -3, 3), dtype=np.float64) * 10.0 ** data.ConsumeIntInRange(
        -308, 307
    )


def odd_value(data: atheris.FuzzedDataProvider) -> Any:
    """Take any value that JSON can hold."""
    kind = data.ConsumeIntInRange(0, 4)
    if kind == 0:
        return data.ConsumeIntInRange(-(2**63), 2**63 - 1)
    if kind == 1:
        return data.ConsumeFloat()
    if kind == 2:
        return data.ConsumeUnicodeNoSurrogates(12)
    return copy.deepcopy(data.PickValueInList(ODD))


def leaves(node: Any, path: tuple = ()) -> list[tuple]:
    """Return the paths of every value in a nested dict."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = [leaf for key, item in items for leaf in leaves(item, (*path, key))]
    return [*found, path] if path else found


def tampered(data: atheris.FuzzedDataProvider, state: dict) -> dict:
    """Put up to four odd values somewhere into a state, or take entries away."""
    changed = copy.deepcopy(state)
    for _ in range(data.ConsumeIntInRange(0, 4)):
        paths = leaves(changed)
        if not paths:
            break
        *way, last = paths[data.ConsumeIntInRange(0, len(paths) - 1)]
        node = changed
        for key in way:
            node = node[key]
        if data.ConsumeIntInRange(0, 7) == 0:
            del node[last]
        else:
            node[last] = odd_value(data)
    return changed
