"""Check a safetensors file before anything reads it. The library itself accepts duplicate names and huge headers.

The format: https://github.com/huggingface/safetensors#format. This module loads nothing.

"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import BundleError

_LONGEST_HEADER = 16 << 20
_MOST_TENSORS = 100_000
_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4,
    "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
_METADATA = "__metadata__"


class _Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def check_safetensors(file: Path) -> None:
    """Check header, names, shapes and offsets: unique names, and tensors that fill the data exactly without overlap.

    Raises:
        BundleError: They do not.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(_LONGEST_HEADER, size - 8):  # noqa: PLR2004 - the length itself has 8 bytes
            raise BundleError(f"{file}: it claims a header of {length:,} bytes, which is impossible")
        header = stream.read(length)
    spans = sorted(_span(file, name, tensor) for name, tensor in _tensors(file, header).items())
    at = 0
    for start, end in spans:
        if start != at:
            raise BundleError(f"{file}: tensors overlap or leave a gap at byte {at}")
        at = end
    if at != size - 8 - length:
        raise BundleError(f"{file}: its tensors take {at:,} of {size - 8 - length:,} bytes")


def _tensors(file: Path, header: bytes) -> dict[str, _Tensor]:
    import json  # the only available reader that shows duplicate names

    try:
        pairs: dict[str, Any] = msgspec.convert(json.loads(header, object_pairs_hook=_once), dict)
        pairs.pop(_METADATA, None)
        tensors = msgspec.convert(pairs, dict[str, _Tensor])
    except (ValueError, RecursionError) as error:  # msgspec's and json's errors are ValueErrors
        raise BundleError(f"{file}: its header cannot be read: {error}") from None
    if not header.startswith(b"{") or len(tensors) > _MOST_TENSORS:
        raise BundleError(f"{file}: its header does not start with a brace, or names over {_MOST_TENSORS:,} tensors")
    return tensors


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a name appears twice")
    return unique


def _span(file: Path, name: str, tensor: _Tensor) -> tuple[int, int]:
    start, end = tensor.data_offsets
    is_valid = tensor.dtype in _SIZES and all(side >= 0 for side in tensor.shape)
    if not is_valid or not 0 <= start <= end or end - start != math.prod(tensor.shape) * _SIZES[tensor.dtype]:
        raise BundleError(f"{file}: tensor {name!r} is not of a known type, or its shape does not fit its bytes")
    return start, end
