from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlopsfw_core._tokens import Bags as Bags
from mlopsfw_core._tokens import SparseRows as SparseRows

NULL_BUCKET: Final = 0

def murmurhash3_32(key: bytes | str | int, seed: int = 0, positive: bool = False) -> int: ...
def hash_indices(column: Any, n_buckets: int, seed: int = 0) -> NDArray[np.int64]: ...
def hash_features(
    X: Mapping[str, Any] | Iterable[Any] | Any,  # noqa: N803 - the name that scikit-learn gives it
    n_features: int = ...,
    *,
    input_type: Literal["dict", "pair", "string"] = "dict",
    dtype: DTypeLike = ...,
    alternate_sign: bool = True,
    crosses: Sequence[Sequence[str]] = (),
) -> SparseRows: ...
