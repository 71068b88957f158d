"""Infer a first contract from good rows: rules without an exception fail, measured rules warn.

Inference is cautious. It writes a rule only if enough rows support it, and then tries it: does the rule, learned from one half of the rows,
hold on the other? It splits once by order, since new rows come later, and once at random. A rule that does not hold is left out or only
warns. Finally the checking engine evaluates the whole contract on the reference, which must pass.

"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.contracts.inference.draft import draft
from mlopsfw.data.contracts.inference.profile import take_profile
from mlopsfw.data.contracts.inference.trial import amend, broken_rules
from mlopsfw.data.contracts.model import Contract
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import datetime as dt

    import polars as pl

_FEWEST = 50  # rows needed to try the rules on halves


class Inferred(msgspec.Struct, frozen=True, kw_only=True):
    """A contract, with remarks for its comments.

    Args:
        contract: The rules.
        rows: How many rows the reference has.
        notes: Column → a comment beside its rules.
        left_out: The rules that did not hold, in words.
    """

    contract: Contract
    rows: int
    notes: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def infer(rows: pl.LazyFrame, *, now: dt.datetime, personal: Collection[str] = ()) -> Inferred:
    """Return the contract of good rows.

    Args:
        rows: The reference; read in several streamed passes.
        now: The time for `freshness`.
        personal: Columns whose values the file must not contain.

    Raises:
        DataError: There are no columns, or no rows.
    """
    schema = dict(rows.collect_schema())
    if not schema:
        raise DataError("the reference has no columns, so nothing can be inferred from it")
    profile = take_profile(rows, schema)
    if not profile.rows:
        raise DataError("the reference has no rows, so nothing can be inferred from it")
    contract, notes = draft(profile, now=now, personal=personal)
    left_out: list[str] = []
    if profile.rows >= _FEWEST:
        for learned, tried in _halves(rows, profile.rows):
            lesson, _ = draft(take_profile(learned, schema), now=now, personal=personal)
            contract, dropped = amend(contract, broken_rules(tried, lesson, now))
            left_out += [label for label in dropped if not label.startswith("unique")]
    contract, dropped = amend(contract, broken_rules(rows, contract, now), drop=True)
    contract = msgspec.structs.replace(contract, unique=contract.unique[:1])
    return Inferred(contract=contract, rows=profile.rows, notes=notes, left_out=tuple(dict.fromkeys(left_out)))


def _halves(rows: pl.LazyFrame, height: int) -> list[tuple[pl.LazyFrame, pl.LazyFrame]]:
    """Return pairs of rows (to learn from, to try on): the earlier and the later half, and two random halves."""
    import polars as pl

    numbered = rows.with_row_index("\0row")
    chance = (pl.col("\0row").hash(17) % 2 == 0, pl.col("\0row").hash(17) % 2 == 1)
    order = (pl.col("\0row") < height // 2, pl.col("\0row") >= height // 2)
    return [(numbered.filter(a).drop("\0row"), numbered.filter(b).drop("\0row")) for a, b in (order, chance)]
