"""What a format is made with: files opened within their allowance, guesses of types that prove wrong, batches, work in order.

The roles themselves (`Format`, `ReadRequest`, `RejectSink`) stand in `mlopsfw.roles`.
"""

from __future__ import annotations

from mlopsfw.data.intake.decompress import Allowance, Bounded
from mlopsfw.data.intake.json_fault import json_fault
from mlopsfw.data.intake.open_file import inner_suffix, open_bytes
from mlopsfw.data.intake.type_inference import BadValue, WrongSchema, WrongType
from mlopsfw.data.tables import exact
from mlopsfw.data.tables.batches import ipc_schema, read_ipc, sound, without_rows
from mlopsfw.data.tables.declared import (
    TooManyBad,
    cast_each,
    cast_texts,
    is_finer,
    is_micro,
    null_texts,
    truncation_hint,
    type_of,
    without_texts,
)
from mlopsfw.data.tables.prefetch import in_order
from mlopsfw.kernel.base.nesting import TOO_DEEP, is_too_deep

__all__ = [
    "TOO_DEEP",
    "Allowance",
    "BadValue",
    "Bounded",
    "TooManyBad",
    "WrongSchema",
    "WrongType",
    "cast_each",
    "cast_texts",
    "exact",
    "in_order",
    "inner_suffix",
    "ipc_schema",
    "is_finer",
    "is_micro",
    "is_too_deep",
    "json_fault",
    "null_texts",
    "open_bytes",
    "read_ipc",
    "sound",
    "truncation_hint",
    "type_of",
    "without_rows",
    "without_texts",
]
