from typing import Any, Final

from mlopsfw_core._tokens import SparseRows

WORD: Final = 0
CHAR: Final = 1
CHAR_WB: Final = 2

def hash_ngrams(
    texts: Any, kind: int, least: int, most: int, lower: bool, n_features: int, alternate_sign: bool
) -> SparseRows: ...
