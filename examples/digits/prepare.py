"""The handwritten digits of scikit-learn: 1,797 images of 8×8 pixels (Alpaydin & Kaynak, UCI, 1998)."""

from __future__ import annotations

import numpy as np
import polars as pl


def images() -> pl.DataFrame:
    """Return the images as tensors, uint8 from 0 to 16, and the digit that each shows."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = digits.images.astype(np.uint8)
    return pl.DataFrame(
        {"pixels": pixels, "digit": digits.target}, schema={"pixels": pl.Array(pl.UInt8, (8, 8)), "digit": pl.Int64}
    )
