"""How rows enter a dataset: the mode and its options. `commits` and `merge` carry it out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import msgspec

from mlopsfw.data.tables.columns import Drift
from mlopsfw.kernel.base.errors import ConfigError, UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.reading import MAX_RATIO

Mode = Literal["append", "replace", "upsert", "incremental"]


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rows enter a dataset.

    Args:
        mode: `replace`: in place of the present rows. `append`: after them. `upsert`: after them, in place of present rows with the
            same key. `incremental`: only rows above the greatest `watermark` value so far.
        key: Columns that identify a row, for `upsert`. With `incremental`, repeated rows replace the present ones.
        watermark: The column of `incremental`: whole numbers, fractions, dates or times.
        lookback: How far below the greatest value late rows may lie: seconds for dates and times, else the column's
            own unit. Needs `key`, since rows there already come again.
        drift: What to do about columns that only the dataset or only the rows have: `fail`; `add`, with nulls for missing values;
            or `ignore`, which drops unknown columns. `replace` does not use it.
        max_bad: The share of rows that may go to quarantine, from 0 to 1. With 0 the first bad row is an error.
        max_ratio: The greatest ratio of unpacked to packed size, for files that unpack to more than 128 MiB.
    """

    mode: Mode = "append"
    key: tuple[str, ...] = ()
    watermark: str = ""
    lookback: float = 0.0
    drift: Drift = "fail"
    max_bad: float = 0.0
    max_ratio: float = MAX_RATIO

    def check(self) -> Change:
        """Return itself. Raise `ConfigError` if its parts contradict each other."""
        for wrong, option, problem, hint in self._wrongs():
            if wrong:
                raise ConfigError(problem, key=option, hint=hint)
        return self

    def _wrongs(self) -> Iterator[tuple[bool, str, str, str]]:
        """Yield for each rule whether it is broken, the option, the problem and what to do."""
        modes = "'append', 'replace', 'upsert' or 'incremental'"
        key = 'Write mode = "upsert" and key = ["id"] (--mode upsert --key id).'
        mark = 'Write incremental = "updated_at" (--incremental updated_at).'
        yield self.mode not in get_args(Mode), "mode", f"must be {modes}, not {self.mode!r}", key
        yield self.mode == "upsert" and not self.key, "key", "the mode 'upsert' needs a key", key
        takes_key = self.mode in ("upsert", "incremental")
        yield bool(self.key) and not takes_key, "key", f"the mode {self.mode!r} takes no key", key
        together = (self.mode == "incremental") == bool(self.watermark)
        problem = "the mode 'incremental' needs a watermark column, and no other mode takes one"
        yield not together, "mode", problem, mark
        useless = bool(self.lookback) and not (self.key and self.watermark)
        problem = "must be a number of at least 0, and needs the mode 'incremental' with a key"
        yield not 0 <= self.lookback < math.inf or useless, "lookback", problem, f'{mark[:-1]} and key = ["id"].'
        problem = f"must be 'fail', 'add' or 'ignore', not {self.drift!r}"
        yield self.drift not in get_args(Drift), "drift", problem, 'Write drift = "add" (--drift add).'
        problem = f"must be a share from 0 to less than 1, not {self.max_bad:g}"
        hint = "Write max_bad = 0.01 (--max-bad 0.01) to let 1 row of 100 go to quarantine."
        yield not 0 <= self.max_bad < 1, "max_bad", problem, hint
        problem = f"must be at least 1, not {self.max_ratio:g}"
        yield not self.max_ratio >= 1, "max_ratio", problem, f"Remove it: the default is {MAX_RATIO:g}."

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `UnknownName` if the key or the watermark is none of the columns `names`."""
        for name in (*self.key, *filter(None, (self.watermark,))):
            if name not in names:
                raise UnknownName(f"there is no column {name!r}", hint=nearest(name, names))


def change_of(mode: Mode | Change) -> Change:
    """Return the checked change for a mode's name or a change."""
    return (mode if isinstance(mode, Change) else Change(mode=mode)).check()
