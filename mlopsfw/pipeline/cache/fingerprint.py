"""The cache key of a step, in readable parts, so that `why` can name what changed.

A step runs again if any of these changes: its code and the code it reaches, its parameters, the digests of its inputs, the versions, code and
options of its plugins, the step's own version, the installed packages that it reaches, or the content of the files and the environment variables that it
declares to read. If a step depends on anything else (a clock, the network), it declares `cache = false`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.config.model import Selection
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.names import chosen_as
from mlopsfw.lineage import canonical
from mlopsfw.lineage.environment import environment, environment_digest, interpreter
from mlopsfw.pipeline.cache.closure import Code, code_of
from mlopsfw.pipeline.cache.codebase import Codebase, check_bound, project_codebase
from mlopsfw.pipeline.cache.env import variables
from mlopsfw.pipeline.cache.installed import content_digest, package_codebase
from mlopsfw.pipeline.cache.key import Fingerprint
from mlopsfw.pipeline.cache.plugin_version import plugin_version
from mlopsfw.pipeline.cache.reach import Reach

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.kernel.plugins.catalog import Catalog, Claim
    from mlopsfw.kernel.roles.step import Step
    from mlopsfw.kernel.workspace import Workspace
    from mlopsfw.pipeline.graph.model import Graph, Node

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class Fingerprinter:
    """Fingerprints the steps of one run. Reads code and environment once, at the start.

    Args:
        workspace: Where code and declared files lie.
        config: The configuration from which the graph of steps was made.
        plugins: The installed plugins, whose versions the keys of their steps contain.
        options: Returns the options of a provider, by role and selection, that differ from their defaults.
    """

    def __init__(
        self,
        workspace: Workspace,
        config: ProjectConfig,
        plugins: Catalog,
        options: Callable[[str, Selection], Mapping[str, Any]],
    ) -> None:
        self._root, self._config, self._plugins, self._options = workspace.root, config, plugins, options
        facts = workspace.private_folder() / "code.json"
        self.codebase: Codebase = project_codebase(workspace.root, config.code, facts)
        self.environment = environment()
        self._reach = Reach()
        self._code: dict[str, Code] = {}
        self._versions: dict[str, str] = {}
        self._digests: dict[tuple[str, str], str] = {}

    def code(self, node: Node) -> Code:
        """Return the code that a Python step's function reaches. Raise `ConfigError` if there is no such function."""
        target = node.config.python
        if target not in self._code:
            try:
                self._code[target] = code_of(self._holding(target), target)
            except UsageError as error:
                key = f"steps.{node.name}.python"
                raise self._config.error(error.message, key, hint=error.hint) from None
        return self._code[target]

    def _holding(self, target: str) -> Codebase:
        """Return the project's code if it has the function's module, else that of an installed package. Raise `UsageError`."""
        module = target.partition(":")[0]
        if self.codebase.module(module) is not None:
            return self.codebase
        return package_codebase(target, self.codebase, self._reach.providers(module.partition(".")[0]) or ())

    def check_named(self, target: str, key: str) -> None:
        """Check that code which an option names as `module:name` is there; nothing is imported. Raise `ConfigError` at `key`."""
        module_name, _, path = target.partition(":")
        if not _TARGET.fullmatch(target):
            hint = "Write `module:name`, such as acme.models:make."
            raise self._config.error(f"{target!r} does not name a class or a function of a module", key, hint=hint)
        try:
            check_bound(self._holding(target), module_name, path.partition(".")[0])
        except UsageError as error:
            raise self._config.error(error.message, key, hint=error.hint) from None

    def check_function(self, node: Node) -> None:
        """Check a Python step's wiring against the parameters of its function. Raise `ConfigError`."""
        if node.plugin is not None:
            return
        code, given = self.code(node), {**node.inputs, **node.config.params}
        error = self._config.error
        for name in given if not code.takes_any else ():
            if name not in code.parameters:
                place = "inputs" if name in node.inputs else "params"
                key = f"steps.{node.name}.{place}.{name}"
                raise error(f"{node.config.python} takes no {name!r}", key, hint=nearest(name, code.parameters))
        for name in code.required if not code.takes_any else ():
            if name not in given and name != "context":
                key = f"steps.{node.name}.inputs"
                raise error(
                    f"{node.config.python} needs {name!r}",
                    key,
                    hint=f'Add {name} = "step" there, or a value under params.',
                )

    def fingerprint(self, node: Node, inputs: Mapping[str, Artifact]) -> Fingerprint:
        """Return the fingerprint of a step with these inputs. Raise `DataError` if a declared file is missing."""
        common: dict[str, Any] = {
            "step": node.step,
            "each": f"{node.config.each}:{node.config.part_rows}" if node.in_parts else "",
            "inputs": {name: f"{artifact.kind}:{artifact.digest}" for name, artifact in sorted(inputs.items())},
            "outputs": node.outputs,
            "params": msgspec.json.decode(canonical.encode(node.plain_params, f"steps.{node.step}")),
        }
        return self._python(node, common) if node.plugin is None else self._installed(node, node.plugin, common)

    def _python(self, node: Node, common: dict[str, Any]) -> Fingerprint:
        code = self.code(node)
        top, found = self._package_of(node.config.python)
        outside = code.outside if found is None else (*code.outside, top)
        return Fingerprint(
            runs=node.config.python,
            code=code.digest,
            units=code.units,
            plugins=self._contents(node),
            reads=self._reads(node.step, node.config.reads),
            env=variables(node.config.env),
            **self._packages((), outside, is_open=code.is_open),
            **common,
        )

    def installed(self, graph: Graph) -> dict[str, str]:
        """Return what identifies the installed code that these steps run: each distribution, and packages by their content."""
        parts = [self._contents(node) for node in graph.nodes.values()]
        return self.environment | {name: part for each in parts for name, part in each.items()}

    def _contents(self, node: Node) -> dict[str, str]:
        if node.plugin is not None:
            return {key: self._version(key) for key in self._keys(node, node.plugin)}
        top, found = self._package_of(node.config.python)
        return {f"package.{top}": self._package(top, found or (), self.code(node))} if top else {}

    def _package_of(self, target: str) -> tuple[str, tuple[str, ...] | None]:
        """Return the package of `module:function` and its distributions; none for a function of the project itself.

        The distributions are None for a folder of the path that no distribution claims: its code is read like ours.
        """
        module = self.codebase.module(name := target.partition(":")[0])
        top = name.partition(".")[0]
        if module is None:
            return top, self._reach.providers(top) or ()
        own = [(self._root / folder).resolve() for folder in self._config.code]
        if module.file is None or any(module.file.is_relative_to(folder) for folder in own):
            return "", None
        return top, self._reach.providers(top) or None

    def _package(self, top: str, found: Iterable[str], code: Code) -> str:
        """Return the part of the key for the installed package of a step's function, as for a plugin's."""
        if (top, code.digest) not in self._digests:
            self._digests[top, code.digest] = content_digest(code.digest, top, found)
        versions = ", ".join(f"{name} {self.environment[name]}" for name in found)
        return f"{versions}, code {self._digests[top, code.digest]}".removeprefix(", ")

    def _installed(self, node: Node, step: Step, common: dict[str, Any]) -> Fingerprint:
        keys = self._keys(node, step)
        options = {
            f"{role}.{selection.called}": self._options(role, selection) for role, selection in self._used_by(step)
        }
        named = self._named_code(options)
        return Fingerprint(
            runs=f"{node.config.use}/{step.version}",
            reads=self._reads(node.step, (*node.config.reads, *step.reads)),
            env=variables((*node.config.env, *step.env)),
            facts=msgspec.to_builtins(step.facts()),
            plugins={key: self._version(key) for key in keys}
            | {target: f"code {code.digest}" for target, code in named.items()},
            options=options,
            **self._packages(
                [self._claim(key).distribution for key in keys],
                {module for code in named.values() for module in code.outside},
                is_open=any(code.is_open for code in named.values()),
            ),
            **common,
        )

    def _keys(self, node: Node, step: Step) -> list[str]:
        """Return the step's own entry point and those of the plugins that it may use."""
        return [f"step.{node.config.use}", *(f"{role}.{selection.use}" for role, selection in self._used_by(step))]

    def _used_by(self, step: Step) -> list[tuple[str, Selection]]:
        return [selection for plugin in step.plugins for selection in self.used(plugin)]

    def _named_code(self, options: object) -> dict[str, Code]:
        """Return the project's code that options name as `module:function`, such as a trainer's factory, by that name."""
        if isinstance(options, Mapping):
            return {name: code for each in options.values() for name, code in self._named_code(each).items()}
        if isinstance(options, list | tuple):
            return {name: code for each in options for name, code in self._named_code(each).items()}
        if not isinstance(options, str) or not _TARGET.fullmatch(options):
            return {}
        if self.codebase.module(options.partition(":")[0]) is None:
            return {}
        try:
            return {options: code_of(self.codebase, options)}
        except UsageError:  # the provider says what is wrong with it
            return {}

    def _packages(
        self, distributions: Iterable[str], modules: Iterable[str], *, is_open: bool = False
    ) -> dict[str, Any]:
        """Return the part of the key for what is installed, as far as a step of these distributions and modules reaches it."""
        reached = None if is_open else self._reach.of(("mlopsfw", *distributions), modules)
        if reached is None:
            return {"environment": environment_digest(self.environment)}
        return {"environment": environment_digest(reached | interpreter()), "packages": tuple(reached)}

    def used(self, plugin: str) -> list[tuple[str, Selection]]:
        """Return role and provider of all that a step may use: the selected ones; of kinds that go by name, as formats, all."""
        if plugin not in chosen_as("name"):
            return self._config.providers(plugin)
        names = [claim.name for claim in self._plugins.of(plugin)]
        return [
            (plugin, self._config.by_name(plugin, name))
            for name in names
            if names.count(name) == 1  # data of a name that two claim cannot be read
        ]

    def _version(self, key: str) -> str:
        if key not in self._versions:
            self._versions[key] = plugin_version(self._claim(key), self.codebase)
        return self._versions[key]

    def _claim(self, key: str) -> Claim:
        role, _, name = key.partition(".")
        return self._plugins.find(role, name)

    def _reads(self, step: str, patterns: Iterable[str]) -> dict[str, str]:
        return {name: digest for pattern in patterns for name, digest in sorted(self._matches(step, pattern))}

    def _matches(self, step: str, pattern: str) -> Iterable[tuple[str, str]]:
        from mlopsfw.data.tables.digest import file_digest

        root = self._root
        place = root / pattern
        if place.is_dir():
            files = [file for file in place.rglob("*") if file.is_file()]
        else:
            files = [place] if place.is_file() else _glob(root, pattern)
        if not files:
            raise DataError(
                f"nothing matches {pattern!r} in {root}, which step {step!r} reads",
                hint="Correct the path, or put the file there.",
            )
        for file in files:
            name = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
            yield name, file_digest(file)


def _glob(root: Path, pattern: str) -> list[Path]:
    if Path(pattern).is_absolute():
        return []
    return [file for file in root.glob(pattern) if file.is_file()]
