"""Texts, bytes and lists as rows of one length: what a network reads of them. Training and serving call the same code. Needs only NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlopsfw.kernel.base.errors import SignatureMismatch


def padded(values: Sequence[Any] | np.ndarray, dtype: str, length: int, column: str) -> np.ndarray:
    """Return `[rows, length]` of `dtype`: the bytes of texts in UTF-8, bytes, or the items of lists.

    Texts and lists are cut, or padded with 0 at the end. Bytes are not, since an image that is cut is another image.

    Args:
        values: One `str`, `bytes`, list or array a row.
        dtype: The type of the items; `uint8` for texts and bytes.
        length: Items in a row.
        column: The column's name, for messages.

    Raises:
        SignatureMismatch: Bytes have another length, or a value is missing.
    """
    matrix = np.zeros((len(values), length), dtype=dtype)
    for row, value in enumerate(values):
        if value is None:
            raise SignatureMismatch("the value is null, and the model takes none", column=column, row=row)
        if isinstance(value, bytes) and len(value) != length:
            raise SignatureMismatch(f"it has {len(value)} bytes, but the model takes {length}", column=column, row=row)
        octets = value.encode() if isinstance(value, str) else value
        items = np.frombuffer(octets, dtype=np.uint8) if isinstance(octets, bytes) else np.asarray(octets)
        matrix[row, : len(items)] = items[:length]
    return matrix
