"""One session of a run, from its start or takeover to its end: `mlopsfw run` and `mlopsfw resume`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import Conflict, UnknownName, UsageError
from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.kernel.events.lease import Takeover
from mlopsfw.lineage import canonical
from mlopsfw.lineage.codestate import CodeRecord, CodeState
from mlopsfw.pipeline.cache.fingerprint import Fingerprinter
from mlopsfw.pipeline.graph.model import Graph, build_graph
from mlopsfw.pipeline.run.events import RunStarted
from mlopsfw.pipeline.run.journal import Journal
from mlopsfw.pipeline.run.liveness import identity, wait_until_lost
from mlopsfw.pipeline.run.outcome import Outcome, see_through
from mlopsfw.pipeline.run.plan import Planned, Planner
from mlopsfw.pipeline.run.record import OPEN, RunView, fold
from mlopsfw.pipeline.run.reproduction import Judge, Origin, StepVerdict
from mlopsfw.pipeline.run.requirements import check_requirements
from mlopsfw.pipeline.run.runner import Coordinator, Options
from mlopsfw.pipeline.run.step_events import StepCached

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import ProjectConfig, Selection
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.graph.model import StepCatalog
    from mlopsfw.pipeline.run.display import Display
    from mlopsfw.pipeline.run.execution import Execution
    from mlopsfw.pipeline.run.runs import Runs


class Sessions:
    """Starts, resumes and plans runs of the project's pipeline.

    Args:
        execution: The parts that carry out a run.
        config: The project's.
        catalog: The steps that the configuration can select by name.
        plugins: The installed plugins.
        runs: Earlier runs.
    """

    def __init__(
        self, execution: Execution, config: ProjectConfig, catalog: StepCatalog, plugins: PluginManager, runs: Runs
    ) -> None:
        self._execution, self._config, self._catalog = execution, config, catalog
        self._plugins, self._runs, self._services = plugins, runs, execution.services
        self._imported: dict[str, str] = {}  # what the workers of this process may have imported

    @cached_property
    def graph(self) -> Graph:
        """The whole pipeline, checked. Raise `ConfigError` if it is wrong."""
        return build_graph(self._config, self._catalog, self._execution.inputs.schemes)

    def fingerprinter(self) -> Fingerprinter:
        """Return the maker of one run's cache keys, for code and environment as they are now."""
        return Fingerprinter(self._services.workspace, self._config, self._plugins.catalog, self._set_options)

    def _set_options(self, role: str, selection: Selection) -> dict[str, Any]:
        """Return the options of a provider that differ from their defaults: writing a default out changes nothing."""
        _, _, options = self._plugins.selected(role, selection, self._config)
        return _differing(options, selection.options)

    def start(
        self,
        display: Display,
        *,
        steps: Sequence[str] = (),
        force: bool = False,
        certify: bool = False,
        debug: bool = False,
        overrides: Sequence[str] = (),
    ) -> Outcome:
        """Start a run of the project's pipeline and wait for its end.

        Args:
            display: Shows what happens.
            steps: Only these and what they need; all by default.
            force: Run these steps (or all) even if nothing changed.
            certify: Run cached steps too, and compare the results.
            debug: Run in this process.
            overrides: The `--set` options, for the run to be resumed with.

        Raises:
            UsageError: The pipeline is wrong; nothing was run.
        """
        state = CodeState.begin(self._services.workspace.root)
        graph, prints = self._prepare(steps, debug=debug)
        journal = self._journal(prints, new_run_id())
        code = CodeRecord(**state.result(self._services.blobs))
        journal.begin(self._started(graph, code, overrides=tuple(overrides), only=tuple(steps)))
        forced = frozenset(steps or graph.nodes) if force else frozenset[str]()
        options = Options(force=forced, certify=certify, debug=debug)
        return see_through(self._coordinator(graph, journal, prints, options, display))

    def _started(self, graph: Graph, code: CodeRecord, **facts: Any) -> RunStarted:
        return RunStarted(
            pipeline=self._services.project,
            steps=tuple(graph.nodes),
            config=self._services.blobs.put(self._config.to_json().encode()),
            wiring={name: dict(step.inputs) for name, step in self._config.steps.items()},
            code=code,
            argv=tuple(sys.argv[1:]),
            env=self._config.env,
            **facts,
        )

    def reproduce(self, display: Display, origin: Origin, judge: Judge, *, debug: bool = False) -> Outcome:
        """Run the steps of an earlier run again, without the cache, on what it took, and let `judge` compare the results.

        Steps that made dataset versions, or act outside of the cache, do not run: their results are taken as recorded.
        """
        graph, prints = self._prepare(origin.finished, debug=debug)
        facts, journal = origin.view.facts, self._journal(prints, new_run_id())
        journal.begin(self._started(graph, facts.code, overrides=facts.overrides, reproduces=origin.view.id))
        kept = origin.kept(graph)
        for name in kept:
            step = origin.step(name)
            taken = dict(origin.taken.get(name, {}))
            journal.append(StepCached(step=name, inputs=taken, outputs=step.outputs, from_run=origin.view.id))
        coordinator = self._coordinator(graph, journal, prints, Options(alone=True, debug=debug), display)
        coordinator.execution = replace(self._execution, inputs=self._execution.inputs.as_taken(origin.taken))
        coordinator.outputs = {name: origin.step(name).outputs for name in kept}
        return see_through(coordinator, lambda: judge.compare(coordinator, kept))

    def lost(self, origin: Origin) -> tuple[StepVerdict, ...]:
        """Return a verdict for each step of which the recorded data is no longer stored; none if all of it is."""
        graph = self.graph.up_to(origin.finished)
        gone = ((name, self._execution.results.missing(artifact)) for name, artifact in origin.used(graph))
        return tuple(StepVerdict(step=name, verdict="parted", why=(text,)) for name, text in gone if text)

    def resume(self, display: Display, view: RunView, *, debug: bool = False) -> Outcome:
        """Resume a run that failed, was interrupted, or lost its coordinator. Finished steps do not run again.

        Raises:
            Conflict: It is still going on, or another resumed it first.
            UsageError: It has ended for good.
        """
        if view.facts.reproduces:
            again = f"Start it again: mlopsfw reproduce {view.facts.reproduces}"
            raise UsageError(f"run {view.id} reproduced another, and its folder is gone", hint=again)
        if view.status not in OPEN:
            raise UsageError(
                f"run {view.id} is {view.status}: there is nothing to resume", hint="Start a new one: mlopsfw run"
            )
        graph, prints = self._prepare(view.facts.only, debug=debug)
        stream = self._services.ledger.stream(f"run/{view.id}")
        head = view.head
        if view.status in ("running", "lost"):
            head = wait_until_lost(stream, view, self._services.clock)
        try:
            epoch = stream.takeover(expecting=head, record=Takeover(process=identity()))
        except Conflict:
            raise Conflict(f"another process resumed run {view.id} first", hint="Watch it: mlopsfw status") from None
        coordinator = self._coordinator(
            graph, self._journal(prints, view.id, epoch), prints, Options(debug=debug), display
        )
        coordinator.finished = _finished(fold(view.id, stream.events()))
        return see_through(coordinator)

    def plan(self, *, steps: Sequence[str] = (), force: bool = False) -> list[Planned]:
        """Return the plan of a run, in order. Raise `UsageError` if the pipeline is wrong."""
        graph, prints = self._prepare(steps)
        forced = frozenset(steps or graph.nodes) if force else frozenset[str]()
        return Planner(self._execution, self._runs, prints, forced).plan(graph)

    def latest(self, run: str = "") -> RunView:
        """Return the run `run`, or the newest one of the pipeline that can be resumed. Raise `UnknownName`."""
        if run:
            return self._runs.get(run)
        for view in self._runs.not_done():
            if view.status in OPEN and view.facts.kind != "script" and not view.facts.reproduces:
                return view
        raise UnknownName("no run failed, was interrupted or was lost", hint="Start a new one: mlopsfw run")

    def _prepare(self, steps: Sequence[str], *, debug: bool = False) -> tuple[Graph, Fingerprinter]:
        """Check the whole pipeline, with the signatures of its Python functions, before anything runs. Raise `UsageError`."""
        graph = self.graph
        if not graph.nodes:
            raise UsageError(
                "the pipeline has no steps", hint="Add a [steps.NAME] to mlopsfw.toml, or run `mlopsfw init`."
            )
        graph = graph.up_to(steps) if steps else graph
        prints = self.fingerprinter()
        self._check(graph, prints)
        prints.codebase.save()
        if not debug:  # then no engine is used
            check_requirements(graph, self._execution.workers, self._config)
        return graph, prints

    def check(self) -> Graph:
        """Return the whole pipeline, after every check that needs neither data nor an engine. Raise `UsageError`."""
        self._check(self.graph, self.fingerprinter())
        return self.graph

    def _check(self, graph: Graph, prints: Fingerprinter) -> None:
        for node in graph.nodes.values():
            prints.check_function(node)
        self._check_options(graph, prints)
        for node in graph.nodes.values():
            if node.plugin:
                node.plugin.check()

    def _check_options(self, graph: Graph, prints: Fingerprinter) -> None:
        """Read the options of every plugin that the pipeline uses or the file selects, and look up the code that they name.

        Raise `ConfigError`, `UnknownName`.
        """
        config = self._config
        steps = [(node, plugin) for node in graph.nodes.values() if node.plugin for plugin in node.plugin.plugins]
        chosen = [each for node, plugin in steps for each in config.providers(plugin, f"steps.{node.step}")]
        by_name = [each for _, plugin in steps for each in prints.used(plugin) if each[1].options]
        kinds = {plugin for _, plugin in steps} & config.options.keys()
        for error in [each for kind in kinds for _, _, each in self._plugins.missing(config, kind)]:
            raise error
        for role, selection in [*chosen, *by_name, *config.chosen("engine")]:
            _, provider, options = self._plugins.selected(role, selection, config)
            table = selection.options_key or f"{selection.key}.{selection.use}"
            for name in provider.code:
                if target := getattr(options, name):
                    prints.check_named(target, f"{table}.{name}")

    def _journal(self, prints: Fingerprinter, run: str, epoch: int = 0) -> Journal:
        environment = self._services.blobs.put(canonical.encode(prints.environment))
        return Journal(self._services.ledger, run, epoch=epoch, environment=environment)

    def _coordinator(
        self, graph: Graph, journal: Journal, prints: Fingerprinter, options: Options, display: Display
    ) -> Coordinator:
        self._renew_workers(graph, prints)
        return Coordinator(
            execution=self._execution,
            config=self._config,
            graph=graph,
            journal=journal,
            prints=prints,
            options=options,
            display=display,
        )

    def _renew_workers(self, graph: Graph, prints: Fingerprinter) -> None:
        """Let go of workers if a package that they may have imported was installed anew: a process runs what it imported."""
        now = prints.installed(graph)
        if any(self._imported.get(name, each) != each for name, each in now.items()):
            self._execution.workers.renew()
            self._imported = {}
        self._imported |= now


def _finished(view: RunView) -> dict[str, tuple[str, dict[str, Artifact]]]:
    return {
        s.name: (s.fingerprint, s.outputs)
        for s in view.steps.values()
        if s.status in ("done", "cached") and s.fingerprint
    }


def _differing(record: msgspec.Struct, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of a table `given` by which the `record` that was read from it differs from its defaults."""
    fields = {each.encode_name: each for each in msgspec.structs.fields(record)}
    return {
        name: value for name, value in given.items() if getattr(record, fields[name].name) != _default(fields[name])
    }


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
