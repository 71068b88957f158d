"""The Python form of a pipeline: the same steps, keys and cache as `mlopsfw.toml`, written as calls.

    pipeline = Pipeline()
    rows = pipeline.step("ingest", params={"source": "flights.csv"})
    clean = pipeline.step(features.clean, inputs={"rows": rows}, params={"minimum": 3})
    pipeline.run()

A step is a function of the project, importable by its module, or the name of a built-in one. Nothing runs before `run`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.config import ProjectConfig, StepConfig

if TYPE_CHECKING:
    from mlopsfw.pipeline.run import outcome
    from mlopsfw.project import facade
else:
    outcome = lazy("mlopsfw.pipeline.run.outcome")
    facade = lazy("mlopsfw.project.facade")


@dataclass(frozen=True, slots=True)
class StepHandle:
    """A step that was added; give it, or `handle["output"]`, as another step's input.

    Args:
        reference: `step` or `step.output`, as the TOML has it.
    """

    reference: str

    def __getitem__(self, output: str) -> StepHandle:
        """Return one of several outputs."""
        return StepHandle(f"{self.reference}.{output}")


class Pipeline:
    """A pipeline written in Python, on the project of a folder.

    Args:
        start: The project is at or above this folder (the current one): its storage, plugins and code are used, and the
            steps of its `mlopsfw.toml`, if it has any, give way to those added here.
        env: The overlay `[env.NAME]` to apply.
        overrides: `KEY=VALUE` as `--set` takes them.
    """

    def __init__(self, start: Path | None = None, *, env: str | None = None, overrides: Sequence[str] = ()) -> None:
        from mlopsfw.project.config import find_project, load_config

        self._file = find_project(start)
        self._base = load_config(self._file, env=env, overrides=overrides)
        self._lines = {key: line for key, line in self._base.lines.items() if not key.startswith("steps")}
        self._steps: dict[str, StepConfig] = {}

    def step(
        self,
        what: Callable[..., Any] | str,
        name: str = "",
        *,
        inputs: Mapping[str, StepHandle | str] | None = None,
        params: Mapping[str, Any] | None = None,
        needs: Sequence[StepHandle] = (),
        **options: Any,
    ) -> StepHandle:
        """Add a step.

        Args:
            what: A function of the project, or the name of a built-in step.
            name: What to call the step; by default as the function or built-in is called.
            inputs: Parameter name → a step, one of its outputs, or a reference such as `data:/flights@3`.
            params: Everything else that it is given.
            needs: Steps that must be done first although nothing of theirs is taken.
            options: `outputs`, `reads`, `env`, `cache`, `retries`, `timeout`, `engine`, `resources` (a
                `mlopsfw.roles.Resources`), as in the TOML.

        Raises:
            UsageError: The name is taken or cannot be used, or the function cannot be imported by name.
        """
        is_builtin = isinstance(what, str)
        chosen = check_name(name or (what if isinstance(what, str) else what.__name__.replace("_", "-")), "step name")
        if chosen in self._steps:
            raise UsageError(f"there is a step {chosen!r} already", hint="Give this one another name.")
        wired = {key: value if isinstance(value, str) else value.reference for key, value in (inputs or {}).items()}
        self._steps[chosen] = StepConfig(
            use=str(what) if is_builtin else "",
            python="" if isinstance(what, str) else self._importable(what),
            inputs=wired,
            params=dict(params or {}),
            needs=tuple(handle.reference for handle in needs),
            **options,
        )
        return StepHandle(chosen)

    def _importable(self, function: Callable[..., Any]) -> str:
        """Return `module:function`; a script that is run itself is named by its file."""
        module, name = function.__module__, getattr(function, "__qualname__", "")
        if not name.isidentifier():
            raise UsageError(
                f"{name or function!r} cannot be a step", hint="A step must be a function at the top level of a module."
            )
        if module == "__main__":
            module = self._module_of(Path(getattr(sys.modules["__main__"], "__file__", "") or "<stdin>"))
        return f"{module}:{name}"

    def _module_of(self, file: Path) -> str:
        for folder in self._base.code:
            root = (self._file.parent / folder).resolve()
            if file.resolve().is_relative_to(root) and file.suffix == ".py":
                return ".".join(file.resolve().relative_to(root).with_suffix("").parts)
        raise UsageError(
            f"{file} is not in the project's code", hint="Put the functions of steps into a module of the project."
        )

    @property
    def config(self) -> ProjectConfig:
        """The whole configuration, as if it had been read from a file."""
        return msgspec.structs.replace(self._base, steps=dict(self._steps), lines=self._lines)

    def open(self) -> facade.Project:
        """Open the project with this pipeline in it."""
        return facade.Project.open(self._file.parent, config=self.config)

    def run(self, *, quiet: bool = False, **options: Any) -> outcome.Outcome:
        """Run the pipeline; arguments as for `mlopsfw.pipeline.run.session.Sessions.start`. Does not raise when a step fails."""
        from mlopsfw.pipeline.run.display import Display

        with self.open() as project:
            return project.pipeline.start(Display(project.workspace, None if quiet else sys.stdout), **options)
