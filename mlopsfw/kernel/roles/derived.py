"""Derived columns: what a model computes of a request's own columns, as plain values.

Reading them from text, checking and running them is `mlopsfw.features`'s.
"""

from __future__ import annotations

from typing import Literal

import msgspec

DerivedType = Literal["number", "string"]


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="column", tag_field="op"):
    """The value of a column: one of the request's, or one derived before."""

    name: str


class Constant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="constant", tag_field="op"):
    """A number, text or truth value."""

    value: bool | float | str


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="call", tag_field="op"):
    """A function of the closed set in `mlopsfw.features.functions`.

    Args:
        function: Its name.
        arguments: What it is called with.
    """

    function: str
    arguments: tuple[Expression, ...]


class Find(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="find", tag_field="op"):
    """What a table that the model carries says of a key; missing where the key is not in it.

    Args:
        table: The table's name, for people.
        column: Likewise the column's.
        keys: Its keys, each once.
        values: What it says of each.
        key: What is looked up, a text.
    """

    table: str
    column: str
    keys: tuple[str, ...]
    values: tuple[float | str | None, ...]
    key: Expression


Expression = Column | Constant | Call | Find


class Derived(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column that the model makes of each row by itself.

    Args:
        name: How operations call it.
        type: What it holds; truth values are the numbers 0 and 1.
        expression: How it is made.
    """

    name: str
    type: DerivedType
    expression: Expression
