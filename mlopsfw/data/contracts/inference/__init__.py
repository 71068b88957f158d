"""A first contract, inferred from rows that are good: what held without exception fails, what was measured warns.

Inference is cautious. A rule is written only where enough rows speak for it; it is then tried: learned from one half of the rows, does it
hold on the other? Once by order, since the next rows come later, and once by chance. What does not hold there is left out or
only warns. At last the whole contract is evaluated on the reference by the engine that will check it, and must pass.
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

_FEWEST = 50  # rows of which a half is worth a trial


class Inferred(msgspec.Struct, frozen=True, kw_only=True):
    """A contract, and what was seen, for its comments.

    Args:
        contract: The rules.
        rows: How many rows the reference has.
        notes: Column → what to say beside its rules.
        left_out: What was tried and did not hold, in words.
    """

    contract: Contract
    rows: int
    notes: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def infer(rows: pl.LazyFrame, *, now: dt.datetime, personal: Collection[str] = ()) -> Inferred:
    """Return the contract of rows that are as they should be.

    Args:
        rows: The reference; read in several streamed passes.
        now: For `freshness`.
        personal: Columns of which no value may stand in a file.

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
    """Return (to learn from, to try on): the earlier and the later half, and two halves by chance."""
    import polars as pl

    numbered = rows.with_row_index("\0row")
    chance = (pl.col("\0row").hash(17) % 2 == 0, pl.col("\0row").hash(17) % 2 == 1)
    order = (pl.col("\0row") < height // 2, pl.col("\0row") >= height // 2)
    return [(numbered.filter(a).drop("\0row"), numbered.filter(b).drop("\0row")) for a, b in (order, chance)]
