"""The step role: one act of a pipeline, selected by `use = "name"`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step with its options read: what a step's provider builds.

    Args:
        run: Does the work and returns output name → value, exactly `outputs`. A value is a table, a JSON value, a
            `Path`, a `BundleFolder` or an `Artifact`. The first argument is the `StepContext`; every further parameter
            is the name of a part of the project, which `run` then gets.
        inputs: Parameter names that must be wired.
        optional: Parameter names that may be wired; `context.inputs` lacks those that are not.
        variadic: Whether further inputs under any name are accepted.
        each: Inputs on whose parts the step may run one at a time, because their rows do not depend on each other; None
            for any input.
        outputs: Names of the values that `run` returns; a bare `step` reference means the first.
        version: Part of the cache key. Raise it when the same inputs give another result.
        cacheable: False for a step whose point is its effect, such as a deployment: it runs every time.
        plugins: Roles whose selected providers the step uses, such as `"trainer"`, or a provider by its own name, such
            as `"trainer.boosted"`. Their versions and options are part of the cache key.
        reads: Files and globs, relative to the project, that the step opens. Their content is part of the cache key.
        env: Environment variables that it reads. Their values count for the cache key, and stand in it as digests.
        facts: Returns whatever else the result depends on, such as an alias's target, as a small JSON value for the
            cache key. Its parameters are names of parts of the project.
        check: Raises a `ConfigError`, with the key of an option, for options that cannot work with what its parameters,
            parts of the project, say. Called before any step runs, and never with data.
    """

    run: Callable[..., Mapping[str, object]]
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    variadic: bool = False
    each: tuple[str, ...] | None = ()
    outputs: tuple[str, ...] = ("result",)
    version: int = 1
    cacheable: bool = True
    plugins: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    facts: Callable[..., Mapping[str, object]] = lambda: {}  # noqa: PIE807 - dict has no signature
    check: Callable[..., object] = lambda: None

    def __post_init__(self) -> None:
        names = ("inputs", "optional", "outputs", "plugins", "reads", "env")
        for name in (*names, "each") if self.each is not None else names:
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise TypeError(f"Step.{name} is a tuple of names, not {value!r}")
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise TypeError(f"Step.outputs names at least one value, and none twice: {self.outputs!r}")
