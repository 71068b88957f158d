"""The compute core: drift statistics, prepared references and feature hashing, over NumPy and Arrow buffers.

Useful on its own: it imports NumPy and nothing else, and reads Arrow and Polars data through the C data interface. It knows
nothing of pipelines, models or files.
"""

from __future__ import annotations

try:
    from . import _buffers as _buffers
except ImportError as error:  # pragma: no cover - seen only where the build is missing
    message = (
        "the compiled part of mlopsfw_core is missing or does not fit this Python. Install the package (pip install mlopsfw), or in a "
        "checkout build it in place: python setup.py build_ext --inplace. "
        f"The import said: {error}"
    )
    raise ImportError(message) from error

from ._findings import ColumnDrift
from .clusters import design_effect
from .comparison import compare_column, compare_samples, compare_table
from .drift import benjamini_hochberg, chi2_2samp, jensenshannon, ks_2samp, psi, wasserstein_distance
from .evidently import compare_as_evidently
from .hashing import NULL_BUCKET, SparseRows, hash_features, hash_indices, murmurhash3_32
from .prepared import Reference
from .streaming import StreamedDrift, compare_streams
from .text_hashing import hash_text

__all__ = [
    "NULL_BUCKET",
    "ColumnDrift",
    "Reference",
    "SparseRows",
    "StreamedDrift",
    "benjamini_hochberg",
    "chi2_2samp",
    "compare_as_evidently",
    "compare_column",
    "compare_samples",
    "compare_streams",
    "compare_table",
    "design_effect",
    "hash_features",
    "hash_indices",
    "hash_text",
    "jensenshannon",
    "ks_2samp",
    "murmurhash3_32",
    "psi",
    "wasserstein_distance",
]
