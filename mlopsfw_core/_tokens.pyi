from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

class Bags(NamedTuple):
    """What `torch.nn.EmbeddingBag(mode="sum")` takes."""

    indices: NDArray[np.int64]
    offsets: NDArray[np.int64]
    per_sample_weights: NDArray[np.float32]

class SparseRows(NamedTuple):
    """A sparse matrix by compressed rows, sorted, duplicates summed."""

    data: NDArray[Any]
    indices: NDArray[np.signedinteger[Any]]
    indptr: NDArray[np.signedinteger[Any]]
    shape: tuple[int, int]
    def to_scipy(self) -> Any: ...
    def to_bags(self) -> Bags: ...

class Tokens:
    """Slots and values of tokens; filled from compiled code."""

    used: int
