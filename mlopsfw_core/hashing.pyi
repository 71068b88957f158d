from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

NULL_BUCKET: Final = 0

class SparseRows(NamedTuple):
    """A sparse matrix by compressed rows, sorted, duplicates summed."""

    data: NDArray[Any]
    indices: NDArray[np.signedinteger[Any]]
    indptr: NDArray[np.signedinteger[Any]]
    shape: tuple[int, int]
    def to_scipy(self) -> Any: ...

def murmurhash3_32(key: bytes | str | int, seed: int = 0, positive: bool = False) -> int: ...
def hash_indices(column: Any, n_buckets: int, seed: int = 0) -> NDArray[np.int64]: ...
def hash_features(
    X: Mapping[str, Any] | Iterable[Any] | Any,  # noqa: N803 - the name that scikit-learn gives it
    n_features: int = ...,
    *,
    input_type: Literal["dict", "pair", "string"] = "dict",
    dtype: DTypeLike = ...,
    alternate_sign: bool = True,
) -> SparseRows: ...
