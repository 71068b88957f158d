"""The options of the step `split`: which rows train, validate and test, and which options go together."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.base.spans import duration, instant
from mlopsfw.kernel.config.options import check_options

PARTS = ("train", "validation", "test")
_EXAMPLES = {"time": '"2013-03-01"', "fraction": "0.2", "column": '["b"]'}


class SplitParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.split]`.

    Args:
        by: `time`, `fraction` or `column`.
        column: By time: the column of dates or datetimes. By column: the column whose values name the part.
        validation: By fraction: its share, 0 to 1. By time: its start; empty for none. By column: its values.
        test: Likewise. By time the three parts follow each other: train, validation, test.
        train: By column: its values; otherwise the remaining rows.
        label_delay: By time: how long after its event a label is known, such as `7d`. Rows of train and validation whose label is not known
            when the next part begins are left out: their labels overlap those that judge.
        start: By time: leave out rows before it.
        end: By time: leave out rows from it on.
        key: By fraction: columns whose values decide the part, so that rows of one key stay together, and keep their part when
            rows are added. Without it each row is drawn by itself.
        stratify: By fraction: a column of classes, such as the target. Each class has the same share in every part, give or take two rows.
        seed: By fraction: the seed of the draw.
        shuffle_time: By fraction: consent to draw rows although they have a column of dates or datetimes. A model then learns from
            rows later than those that judge it.
    """

    by: Literal["time", "fraction", "column"]
    column: str = ""
    validation: float | str | tuple[str, ...] = ""
    test: float | str | tuple[str, ...] = ""
    train: str | tuple[str, ...] = ()
    label_delay: str = ""
    start: str = ""
    end: str = ""
    key: tuple[str, ...] = ()
    stratify: str = ""
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    shuffle_time: bool = False

    def __post_init__(self) -> None:
        limits = (self.validation, self.test)
        if self.by != "fraction" and not self.column:
            raise ConfigError(f"a split by {self.by} needs a column", key="column", hint='Write column = "NAME".')
        if self.stratify and (self.by != "fraction" or self.key):
            why = "keeps the rows of a key together" if self.by == "fraction" else "draws no rows"
            message = f"a split by {self.by} {why}, and so cannot stratify"
            raise ConfigError(message, key="stratify", hint='Omit it, or write by = "fraction" without key.')
        if self.by == "column" and not self.train:
            raise ConfigError("a split by column needs the values of train", key="train", hint='Write train = ["a"].')
        if self.validation in ("", ()) and self.test in ("", ()):
            message = f"a split by {self.by} needs validation, test or both: all rows would be in train"
            raise ConfigError(message, key="by", hint=f"Write test = {_EXAMPLES[self.by]}.")
        if self.by == "fraction":
            self._check_shares()
        elif any(isinstance(limit, float) for limit in limits):
            what = 'a date, such as test = "2013-03-01"' if self.by == "time" else 'values, such as test = ["b"]'
            raise ConfigError(f"a split by {self.by} takes no share", key=self._first(float), hint=f"Write {what}.")
        if self.by == "time":
            if any(isinstance(limit, tuple) for limit in limits):
                hint = 'Write test = "2013-03-01".'
                raise ConfigError("a split by time takes dates, no list", key=self._first(tuple), hint=hint)
            check_options(self, validation=instant, test=instant, start=instant, end=instant, label_delay=duration)
        elif self.label_delay:
            message = f"a split by {self.by} knows no time, and so no label_delay"
            raise ConfigError(message, key="label_delay", hint='Omit it, or write by = "time".')

    @property
    def asked(self) -> set[str]:
        """The parts that must get rows. By fraction a share of 0 asks for none."""
        given = {name for name in ("validation", "test") if getattr(self, name) not in ("", (), 0)}
        return given | {"train"}

    def _check_shares(self) -> None:
        hint = "Write test = 0.2."
        for name in ("validation", "test"):
            share = getattr(self, name)
            if share != "" and not (isinstance(share, int | float) and 0 <= share < 1):
                raise ConfigError(f"a split by fraction takes shares in [0, 1), not {share!r}", key=name, hint=hint)
        if sum(self.shares()) >= 1:
            message = "the shares of validation and test leave no rows to train on"
            raise ConfigError(message, key="test", hint="Their sum must be less than 1.")

    def _first(self, kind: type) -> str:
        return "validation" if isinstance(self.validation, kind) else "test"

    def shares(self) -> tuple[float, float]:
        """Return the shares of validation and test rows, by fraction."""
        validation, test = (
            float(share) if isinstance(share, int | float) else 0.0 for share in (self.validation, self.test)
        )
        return validation, test
