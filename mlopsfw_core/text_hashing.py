"""Running text as a sparse matrix of hashed n-grams: scikit-learn's HashingVectorizer, bit for bit."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from ._ngrams import CHAR, CHAR_WB, WORD, hash_ngrams
from ._tokens import SparseRows

_KINDS = {"word": WORD, "char": CHAR, "char_wb": CHAR_WB}


def hash_text(
    texts: Any,
    n_features: int = 1 << 20,
    *,
    analyzer: Literal["word", "char", "char_wb"] = "word",
    ngram_range: tuple[int, int] = (1, 1),
    lowercase: bool = True,
    norm: Literal["l1", "l2"] | None = "l2",
    binary: bool = False,
    alternate_sign: bool = True,
    dtype: DTypeLike = np.float64,
) -> SparseRows:
    r"""Hash texts into a sparse matrix: the same as `HashingVectorizer(...).transform`, with its names and defaults.

    Words are its default ones, `(?u)\b\w\w+\b`. For another `tokenizer`, `stop_words` or `preprocessor` cut the texts yourself and give
    the rows to `hash_features(rows, input_type="string")`.

    Args:
        texts: a column of texts: a list, a NumPy array, any Arrow text column. A missing text is an empty row.
        n_features: columns of the matrix, from 1 to 2^31 - 1.
        analyzer: n-grams of words, of characters, or of characters within what stands between white space.
        ngram_range: the shortest and the longest n-gram.
        lowercase: whether to put texts into lower case first.
        norm: what each row is divided by: the sum of magnitudes ("l1"), their Euclidean length ("l2"), or nothing.
        binary: whether every value that is there counts 1.
        alternate_sign: whether the hash's sign is given to the counts.
        dtype: of the matrix's values.

    Returns:
        SparseRows with sorted indices and no duplicates, a row for each text.

    Raises:
        ValueError: an option is out of its range, or there is no text.
    """
    least, most = ngram_range
    if analyzer not in _KINDS:
        raise ValueError(f"analyzer is one of {', '.join(map(repr, _KINDS))}, not {analyzer!r}")
    if not 1 <= least <= most:
        raise ValueError(f"ngram_range is (shortest, longest), 1 <= shortest <= longest, not {ngram_range}")
    if norm not in ("l1", "l2", None):
        raise ValueError(f"norm is 'l1', 'l2' or None, not {norm!r}")
    if not 1 <= n_features <= 0x7FFFFFFF:  # noqa: PLR2004 - the largest index of 32 bits
        raise ValueError(f"n_features is from 1 to 2**31 - 1, not {n_features}")
    rows = hash_ngrams(texts, _KINDS[analyzer], least, most, lowercase, n_features, alternate_sign)
    if rows.shape[0] == 0:
        raise ValueError("there is no text to hash")
    values = np.ones_like(rows.data) if binary else rows.data
    return rows._replace(data=_normed(values, rows.indptr, norm).astype(dtype, copy=False))


def _normed(values: Any, starts: Any, norm: str | None) -> Any:
    """Divide each row by its norm; a row of zeros, or of nothing, stays as it is. Counts are whole: their sums are exact."""
    if norm is None:
        return values
    sums = np.concatenate(([0.0], np.cumsum(np.abs(values) if norm == "l1" else values * values)))
    lengths = sums[starts[1:]] - sums[starts[:-1]]
    lengths = np.sqrt(lengths) if norm == "l2" else lengths
    lengths[lengths == 0] = 1.0
    return values / np.repeat(lengths, np.diff(starts))
