"""The columns of trees that were made elsewhere: the names in their file, matched with the columns that a request has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlopsfw.features.encoding import Encoding
from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.kernel.roles.bundle import SignatureColumn

_NUMBERS = ("number", "integer", "boolean", "date", "datetime")
Categories = Mapping[str, Sequence[str | int]]
"""Column → its categories, in the order of their codes."""


def tree_columns(
    names: Sequence[str], given: Sequence[SignatureColumn], categories: Categories, generic: str
) -> tuple[tuple[SignatureColumn, ...], tuple[Encoding, ...]]:
    """Return the inputs that trees read, in their order, and how each becomes a number.

    Args:
        names: What the file of the trees calls its columns.
        given: The columns of a request, if they are known: matched by name, or by place where the file has generic names. None:
            each column is a number, or a text that is one of its categories, and may be missing.
        categories: Columns whose codes stand for categories.
        generic: What the library calls a column without a name, such as `f{}`.

    Raises:
        BundleError: The given columns do not match, or one is of a type that the trees cannot read.
    """
    if not given:
        given = [_column(name, categories.get(name)) for name in names]
    by_name = {column.name.replace(" ", "_"): column for column in given}  # as LightGBM writes names
    keys = [name.replace(" ", "_") for name in names]
    by_place = list(names) == [generic.format(at) for at in range(len(names))] and len(given) == len(names)
    if not by_place and (not by_name.keys() >= set(keys) or len(by_name) < len(given)):
        raise BundleError(
            f"the trees read {len(names)} columns ({', '.join(names)}), but the inputs are "
            f"{', '.join(column.name for column in given)}",
            hint="Pass rows, or a signature, with the columns of the trees.",
        )
    inputs = tuple(given) if by_place else tuple(by_name[key] for key in keys)
    pairs = zip(names, inputs, strict=True)
    return inputs, tuple(_encoding(column, categories.get(name)) for name, column in pairs)


def _column(name: str, categories: Sequence[str | int] | None) -> SignatureColumn:
    texts = categories is not None and all(isinstance(each, str) for each in categories)
    kind = "string" if texts else "number" if categories is None else "integer"
    return SignatureColumn(name=name, type=kind, nullable=True)  # type: ignore[arg-type]


def _encoding(column: SignatureColumn, categories: Sequence[str | int] | None) -> Encoding:
    if categories is not None and column.type in ("string", "integer"):
        return Encoding(column=column.name, kind="category", categories=tuple(map(str, categories)))
    if column.type not in _NUMBERS:
        raise BundleError(
            f"the input {column.name!r} is a {column.type}, and the trees' file does not say how they read it",
            hint="Pass rows with the numbers that the model was trained on, or let its trainer learn it in a pipeline.",
        )
    return Encoding(column=column.name, kind="number")
