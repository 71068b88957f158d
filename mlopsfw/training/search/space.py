"""The space of a search: for each trainer the options that it varies, as trainers suggest them and as the file says."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, PluginError
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    from optuna.trial import Trial

FEATURES = "features"


class Dimension(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The values that a search tries for one option: a range of numbers, or choices.

    Args:
        low: The smallest number. Integers at both ends make a range of integers.
        high: The largest number.
        log: Whether the range is searched by orders of magnitude.
        step: The distance between numbers that are tried; by default any number, or any integer.
        choices: The values, in place of a range. A list or a table is a value too.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    choices: tuple[Any, ...] = ()

    def check(self, key: str) -> None:
        """Raise `ConfigError`, which names the key, where its values are no range and no choices."""
        if self.choices:
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ConfigError("choices stand alone", key=f"{key}.choices", hint="Omit low, high, log and step.")
            if len(self.choices) > _MOST:
                message = f"{len(self.choices):,} choices are more than {_MOST:,}"
                raise ConfigError(message, key=f"{key}.choices", hint="Write low and high.")
            check_distinct(self.choices, f"{key}.choices")
            return
        if self.low is None or self.high is None:
            raise ConfigError("a range has low and high", key=key, hint="Or write choices = […].")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"low = {self.low} is not below high = {self.high}", key=f"{key}.low")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ConfigError("a range by orders of magnitude begins above 0 and has no step", key=f"{key}.log")
        if self.step is not None and not (self.step > 0 and math.isfinite((self.high - self.low) / self.step)):
            raise ConfigError("step is above 0, and steps lead from low to high", key=f"{key}.step")

    @property
    def whole(self) -> bool:
        """Whether its numbers are integers."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step) if each is not None)

    @property
    def samples(self) -> tuple[Any, ...]:
        """The values by which options are checked: every choice, or both ends and a number between them."""
        low, high = self.low or 0, self.high or 0
        return self.choices or (low, high, low if self.whole else min(high, low + (self.step or (high - low) * _INNER)))

    def has(self, value: Any) -> bool:
        """Return whether a search may try a value."""
        if self.choices:
            return label_of(value) in map(label_of, self.choices)
        return _is_number(value) and (self.low or 0) <= value <= (self.high or 0)

    def nearest(self, value: Any) -> Any:
        """Return the end of the range that is nearer to a number outside it; any other value as it is."""
        if self.choices or not _is_number(value):
            return value
        return min(max(value, self.low or 0), self.high or 0)

    def widened(self, value: Any) -> Dimension:
        """Return the dimension with a value of the file, too. No range by orders of magnitude has a number below or at 0."""
        if self.has(value):
            return self
        if self.choices:
            return msgspec.structs.replace(self, choices=(value, *self.choices))
        if not _is_number(value) or self.step is not None or (self.log and value <= 0):
            return self
        return msgspec.structs.replace(self, low=min(value, self.low or 0), high=max(value, self.high or 0))

    def grid(self) -> Iterator[Any]:
        """Return every value, made when it is asked for. Raise `ConfigError` for a range without a step."""
        if self.choices:
            return iter(self.choices)
        if self.low is None or self.high is None or self.step is None:
            hint = "Give it a step, or write choices = […]."
            raise ConfigError("a grid needs a step", key="step", hint=hint)
        low, step, count = self.low, self.step, int((self.high - self.low) / self.step + _ROUNDING) + 1
        return (low + at * step for at in range(count))

    @property
    def size(self) -> float:
        """How many values it has; infinite for a range of numbers that are no integers, without a step."""
        if self.choices:
            return len(self.choices)
        step = self.step or (1 if self.whole else 0)
        return int(((self.high or 0) - (self.low or 0)) / step + _ROUNDING) + 1 if step else math.inf

    def suggest(self, trial: Trial, name: str) -> Any:
        """Return the value of a trial."""
        if self.choices:
            labels = {label_of(each): each for each in self.choices}
            return labels[trial.suggest_categorical(name, list(labels))]
        low, high = self.low, self.high
        if self.whole:
            return trial.suggest_int(name, int(low or 0), int(high or 0), log=self.log, step=int(self.step or 1))
        return trial.suggest_float(name, float(low or 0), float(high or 0), log=self.log, step=self.step)


_ROUNDING = 1e-9
_INNER = 0.381966  # of a range: no round share, so that integers at the ends of a range of numbers are none there
_MOST = 10_000  # choices


def check_distinct(values: Sequence[Any], key: str) -> None:
    """Raise `ConfigError` where a value stands twice."""
    seen = set()
    for value in values:
        if (label := label_of(value)) in seen:
            raise ConfigError(f"{value!r} stands there twice", key=key, hint="Leave it out once.")
        seen.add(label)


def check_sets(features: Dimension, key: str) -> None:
    """Raise `ConfigError` where the choices of features are no sets of columns."""
    for each in features.choices or ((),):
        if not (isinstance(each, list | tuple) and each and all(isinstance(name, str) for name in each)):
            hint = 'Write features = { choices = [["a"], ["a", "b"]] }.'
            raise ConfigError(f"{each!r} is no list of columns", key=key, hint=hint)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def label_of(value: Any) -> Any:
    """Return a value as a study keeps it: a list or a table as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


class Proposal(NamedTuple):
    """What a trial tries.

    Args:
        trainer: Name of the trainer.
        options: Its options, by name; `params.C` is `C` in the table `params`.
        features: The columns to learn from; none for those of the step.
    """

    trainer: str
    options: dict[str, Any]
    features: tuple[str, ...] = ()

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Proposal:
        """Return what the parameters of a trial mean."""
        trainer = params["trainer"]
        own = {name.partition(".")[2]: value for name, value in params.items() if name.startswith(f"{trainer}.")}
        return cls(trainer, own, tuple(params.get(FEATURES, ())))


class Space(NamedTuple):
    """All that a search varies.

    Args:
        trainers: Trainer → option → its values.
        starts: Trainer → option → the value that the file gives it, or the default; none for what it does not say.
        features: Sets of columns to choose from; None for those of the step.
    """

    trainers: Mapping[str, Mapping[str, Dimension]]
    starts: Mapping[str, Mapping[str, Any]] = {}
    features: Dimension | None = None

    @classmethod
    def of(
        cls,
        suggested: Mapping[str, Mapping[str, Mapping[str, Any]]],
        given: Mapping[str, Dimension],
        *,
        starts: Mapping[str, Mapping[str, Any]] | None = None,
        only_given: bool = False,
    ) -> Space:
        """Return the space of a search.

        Args:
            suggested: Trainer → what it suggests itself.
            given: What the file says: `TRAINER.OPTION` or `features` → values. It replaces a suggestion.
            starts: Trainer → option → the value that the file gives it, or the default. It widens a suggestion.
            only_given: Whether to leave out what trainers suggest.

        Raises:
            ConfigError: A name is no trainer's of the search.
            PluginError: What a trainer suggests is no dimension.
        """
        starts = starts or {}
        trainers: dict[str, dict[str, Dimension]] = {}
        for name, options in suggested.items():
            if not isinstance(options, Mapping):
                raise PluginError(f"the trainer {name!r} suggests {options!r}, not a mapping of options to values")
            read = {} if only_given else {each: _read(name, each, raw) for each, raw in options.items()}
            own = starts.get(name, {})
            trainers[name] = {each: wide.widened(own[each]) if each in own else wide for each, wide in read.items()}
        for name, dimension in given.items():
            trainer, _, option = name.partition(".")
            if name == FEATURES:
                continue
            if trainer not in trainers or not option:
                near = "" if trainer in trainers else nearest(trainer, trainers)
                hint = near or f"Write TRAINER.OPTION, where TRAINER is {' or '.join(trainers)}."
                raise ConfigError("no trainer of the search is called so", key=f"tune.space.{name}", hint=hint)
            trainers[trainer][option] = dimension
        return cls(trainers, starts, given.get(FEATURES))

    def start(self, trainer: str) -> dict[str, Any]:
        """Return what the first trial of a trainer tries whatever the sampler says.

        These are its options as the file has them; what lies outside a range moves to its nearer end.
        """
        own, values = self.trainers[trainer], self.starts.get(trainer, {})
        near = {name: each.nearest(values[name]) for name, each in own.items() if name in values}
        return {f"{trainer}.{name}": value for name, value in near.items() if own[name].has(value)}

    def suggest(self, trial: Trial, trainer: str) -> dict[str, Any]:
        """Return the parameters of a trial of a trainer."""
        params: dict[str, Any] = {"trainer": trainer}
        if self.features is not None:
            params[FEATURES] = self.features.suggest(trial, FEATURES)
        for option, dimension in self.trainers[trainer].items():
            params[f"{trainer}.{option}"] = dimension.suggest(trial, f"{trainer}.{option}")
        return params

    def size(self, trainer: str) -> float:
        """Return how many points a trainer has; 1 for one without options, infinite with a range of any numbers."""
        return math.prod(
            (each.size for each in self.trainers[trainer].values()), start=self.features.size if self.features else 1.0
        )

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield the parameters of every point. Raise `ConfigError` for a range without a step."""
        for axes in [self._axes(trainer) for trainer in self.trainers]:
            yield from _points(axes)

    def _axes(self, trainer: str) -> dict[str, Dimension]:
        """Return what a grid varies of a trainer. Raise `ConfigError` for a range without a step."""
        axes = {"trainer": Dimension(choices=(trainer,))} | ({} if self.features is None else {FEATURES: self.features})
        axes |= {f"{trainer}.{name}": each for name, each in self.trainers[trainer].items()}
        for name, each in axes.items():
            try:
                each.grid()
            except ConfigError as error:
                raise ConfigError(error.problem, key=f"tune.space.{name}", hint=error.hint) from None
        return axes

    @property
    def numeric(self) -> bool:
        """Whether it has nothing but ranges of numbers, of a single trainer."""
        dimensions = [each for options in self.trainers.values() for each in options.values()]
        return len(self.trainers) == 1 and self.features is None and not any(each.choices for each in dimensions)

    def has(self, params: Mapping[str, Any]) -> bool:
        """Return whether a trial of an earlier attempt lies in this space."""
        trainer = params.get("trainer")
        own = {f"{trainer}.{name}" for name in self.trainers.get(str(trainer), {})}
        own |= {"trainer"} if self.features is None else {"trainer", FEATURES}
        return trainer in self.trainers and own == set(params)

    def columns(self) -> Collection[str]:
        """Return every column that the choices of features name."""
        sets: Sequence[Any] = self.features.choices if self.features is not None else ()
        return list(dict.fromkeys(name for each in sets for name in each))


def _points(axes: Mapping[str, Dimension]) -> Iterator[dict[str, Any]]:
    """Yield every point of a grid, the last axis first. Holds one at a time: a grid may have more than memory."""
    *before, last = axes
    for point in _points({name: axes[name] for name in before}) if before else ({},):
        for value in axes[last].grid():
            yield {**point, last: value}


def _read(trainer: str, option: str, raw: Mapping[str, Any]) -> Dimension:
    try:
        dimension = msgspec.convert(raw, Dimension)
        dimension.check(option)
    except (ConfigError, msgspec.ValidationError) as error:
        raise PluginError(f"the trainer {trainer!r} suggests {raw!r} for {option!r}: {error}") from error
    return dimension
