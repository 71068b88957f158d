"""The coordinator: takes a graph through cache, engine, retries and time limits, and records each change as it happens.

All its state is in the run's events: if a coordinator is killed, another can continue the run. One thread decides; one more thread waits for
each attempt in flight.

"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import DataError, NotFound, StepTimeout, UsageError
from mlopsfw.kernel.roles.engine import Failure, Handle, StepResult, StepSpec
from mlopsfw.pipeline.cache.events import Result
from mlopsfw.pipeline.graph.model import Graph, Node
from mlopsfw.pipeline.partitions.parts import results_by_name
from mlopsfw.pipeline.run.attempt import Attempt
from mlopsfw.pipeline.run.liveness import HEARTBEAT
from mlopsfw.pipeline.run.retry import Retries
from mlopsfw.pipeline.run.step_events import StepCached, StepCertified, StepFailed, StepFinished, StepStarted
from mlopsfw.pipeline.values.likeness import Likeness

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.cache.fingerprint import Fingerprinter
    from mlopsfw.pipeline.run.display import Display
    from mlopsfw.pipeline.run.execution import Execution
    from mlopsfw.pipeline.run.journal import Journal


_LAST_WORD = 2.0
"""Seconds to wait for the result of a cancelled attempt."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run.

    Args:
        force: Steps whose cached results must not be used.
        certify: Run cached steps too, and compare the results.
        debug: Run every step in this process, one at a time, and let its exception propagate.
        alone: Use no cached result, and keep none.
    """

    force: frozenset[str] = frozenset()
    certify: bool = False
    debug: bool = False
    alone: bool = False


@dataclass(kw_only=True)
class Coordinator:
    """Runs one graph once.

    Args:
        execution: The parts that carry out the run.
        config: The configuration from which the graph was made; workers open the project with it.
        graph: What to run.
        journal: The run's record.
        prints: Makes the cache keys.
        options: How to run.
        display: Shows what happens.
        finished: Results of this run's earlier sessions: step → (cache key, outputs).
    """

    execution: Execution
    config: ProjectConfig
    graph: Graph
    journal: Journal
    prints: Fingerprinter
    options: Options
    display: Display
    finished: dict[str, tuple[str, dict[str, Artifact]]] = field(default_factory=dict)

    outputs: dict[str, dict[str, Artifact]] = field(default_factory=dict)
    failure: Failure | None = None
    failed: str = ""
    different: list[str] = field(default_factory=list)
    _nodes: dict[str, Node] = field(default_factory=dict)  # of the graph, and of the steps by parts
    _cut_at: dict[str, float] = field(default_factory=dict)  # when a step by parts was cut, on the monotonic clock
    _running: dict[str, Attempt] = field(default_factory=dict)
    _ready: dict[str, Attempt] = field(default_factory=dict)
    _results: SimpleQueue[tuple[Attempt, StepResult]] = field(default_factory=SimpleQueue)
    _retries: Retries = field(default_factory=Retries)

    # -- the loop ----------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until everything is done, or a step failed and all attempts in flight have ended."""
        self._nodes = dict(self.graph.nodes)
        try:
            while self._advance() or self._running or self._retries.waiting:
                self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Cancel the attempts in flight; record those that have succeeded by then."""
        for attempt in list(self._running.values()):
            if attempt.handle is not None:
                attempt.handle.cancel()
        while self._running:
            try:
                attempt, result = self._results.get(timeout=_LAST_WORD)
            except Empty:
                return
            del self._running[attempt.node.name]
            if result.failure is None:
                self._succeeded(attempt, result)

    def _advance(self) -> bool:
        """Start every ready step. Return whether one was done at once, so that more steps may be ready."""
        completed = False
        for node in self._nodes.values():
            if self.failure is None and self._is_open(node):
                completed |= self._consider(node)
        return completed and self.failure is None

    def _is_open(self, node: Node) -> bool:
        busy = node.name in self.outputs or node.name in self._running or self._retries.is_waiting(node.name)
        return not busy and all(name in self.outputs for name in node.needs)

    def _consider(self, node: Node) -> bool:
        attempt = self._ready.get(node.name) or self._prepare(node)
        if attempt is None:
            return True
        self._ready[node.name] = attempt
        if node.in_parts and node.parts is None:
            return self._cut(attempt)
        if self.options.debug:
            self._run_here(attempt)
            return True
        beside = [a.node.config.resources for a in self._running.values() if a.node.engine == node.engine]
        if not beside or self.execution.workers.engine(node.engine).fits(node.config.resources, beside):
            self._submit(attempt)
        return False

    def _cut(self, attempt: Attempt) -> bool:
        """Add a step's parts before it. They run like steps; the step then joins their results."""
        node = attempt.node
        try:
            parts = self.execution.parts.cut(node, attempt.inputs)
        except (DataError, NotFound, UsageError) as error:
            self._cannot_start(node, error)
            return False
        attempt.node = replace(node, parts=tuple(part.name for part in parts))
        self._cut_at[node.name] = time.monotonic()
        each = {node.name: (*parts, attempt.node)}
        self._nodes = {n.name: n for old in self._nodes.values() for n in each.get(old.name, (old,))}
        return True

    def _prepare(self, node: Node) -> Attempt | None:
        """Make the step's key. Return None if a cached result completes the step, or it cannot start."""
        try:
            inputs = self.execution.inputs.of(node, self.outputs)
            fingerprint = self.prints.fingerprint(node, inputs)
        except (DataError, NotFound, UsageError) as error:
            self._cannot_start(node, error)
            return None
        key = fingerprint.key
        attempt = Attempt(node=node, number=1, inputs=inputs, key=key, fingerprint=fingerprint, began=0.0)
        mine = self.finished.get(node.name)
        if mine is not None and mine[0] == key:
            self._use(attempt, mine[1], self.journal.run)
            return None
        if not node.cacheable or self.options.alone or node.step in self.options.force:
            return attempt
        attempt.kept = self.execution.results.find(key)
        if attempt.kept is None or self.options.certify:
            return attempt
        self._use(attempt, attempt.kept.outputs, attempt.kept.run)
        return None

    def _cannot_start(self, node: Node, error: Exception) -> None:
        """Fail a step whose input or file is missing. The steps that run beside it end normally."""
        from mlopsfw.pipeline.run.failure import failure_of

        failure = failure_of(error, self.execution.services.workspace.root)
        self._record(node.name, 1, StepResult(), failure)
        self.display.failed(node.name, failure, None)
        self.failure, self.failed = failure, node.name

    def _use(self, attempt: Attempt, outputs: dict[str, Artifact], run: str) -> None:
        name = attempt.node.name
        self.journal.append(
            StepCached(step=name, inputs=attempt.inputs, outputs=outputs, from_run=run, fingerprint=attempt.key)
        )
        self.outputs[name] = outputs
        self.display.cached(name, run, outputs)

    # -- attempts ----------------------------------------------------------------------------------------------------------

    def _spec(self, attempt: Attempt) -> StepSpec:
        node, parts = attempt.node, attempt.node.parts
        return StepSpec(
            project=str(self.execution.services.workspace.root),
            config=self.config.to_json(),
            run=self.journal.run,
            step=node.name,
            attempt=attempt.number,
            epoch=self.journal.epoch,
            inputs=attempt.inputs if parts is None else results_by_name(self.outputs[part] for part in parts),
            outputs=node.outputs,
            fingerprint=attempt.key,
            joins=parts is not None,
            resources=node.config.resources,
        )

    def _announce(self, attempt: Attempt) -> None:
        name = attempt.node.name
        del self._ready[name]
        self._running[name] = attempt
        engine = "" if self.options.debug else attempt.node.engine
        self.journal.append(
            StepStarted(
                step=name, attempt=attempt.number, inputs=attempt.inputs, fingerprint=attempt.key, engine=engine
            )
        )
        self.display.started(name, attempt.number)
        attempt.began = time.monotonic()

    def _submit(self, attempt: Attempt) -> None:
        self._announce(attempt)
        handle = attempt.handle = self.execution.workers.engine(attempt.node.engine).submit(self._spec(attempt))
        threading.Thread(target=self._watch, args=(attempt, handle), daemon=True).start()

    def _watch(self, attempt: Attempt, handle: Handle) -> None:
        try:
            result = handle.wait()
        except Exception as error:  # noqa: BLE001 - an engine that fails is the step's failure, with the engine to blame
            from mlopsfw.pipeline.run.failure import failure_of

            result = StepResult(failure=failure_of(error, self.execution.services.workspace.root))
        self._results.put(
            (attempt, result or StepResult(failure=Failure(type="WorkerLost", message="no answer", lost=True)))
        )

    def _run_here(self, attempt: Attempt) -> None:
        self._announce(attempt)
        self._settle(attempt, self.execution.workers.run_here(self._spec(attempt)))

    def _wait(self) -> None:
        """Take results, enforce time limits, and append heartbeats."""
        try:
            attempt, result = self._results.get(timeout=self._patience())
            self._settle(attempt, result)
        except Empty:
            pass
        for attempt in self._running.values():
            self._check_time(attempt)
        self.journal.heartbeat(HEARTBEAT)
        for attempt in self._retries.due():
            self._ready[attempt.node.name] = attempt
        self.display.tick(self.journal.run, {name: a.began for name, a in self._running.items()})

    def _patience(self) -> float:
        if not self._running and not self._retries.waiting:
            return 0.0
        limits = [a.began + a.node.config.timeout for a in self._running.values() if a.node.config.timeout]
        moments = [limit - time.monotonic() for limit in (*limits, *self._retries.times())]
        return max(0.0, min((self.display.interval, HEARTBEAT / 2, *moments)))

    def _check_time(self, attempt: Attempt) -> None:
        limit = attempt.node.config.timeout
        if limit is None or attempt.stopped or time.monotonic() - attempt.began < limit or attempt.handle is None:
            return
        attempt.stopped = Failure(
            type=StepTimeout.__name__, message=f"exceeded its timeout of {limit:g} s and was stopped"
        )
        threading.Thread(target=attempt.handle.cancel, daemon=True).start()

    # -- results -----------------------------------------------------------------------------------------------------------

    def _settle(self, attempt: Attempt, result: StepResult) -> None:
        del self._running[attempt.node.name]
        for stream, seq in result.events:  # observers live in this process
            self.execution.services.ledger.announce(stream, seq)
        failure = attempt.stopped if attempt.stopped and result.failure else result.failure or self._missing(result)
        if failure is None:
            self._succeeded(attempt, result)
        else:
            self._failed(attempt, result, failure)

    def _succeeded(self, attempt: Attempt, result: StepResult) -> None:
        node, name = attempt.node, attempt.node.name
        if name in self._cut_at:  # a step by parts takes as long as from its first part to its join
            result = msgspec.structs.replace(result, seconds=time.monotonic() - self._cut_at[name])
        changed = self.prints.codebase.changed()
        self.journal.append(StepFinished.of_result(name, attempt.number, result, "" if changed else attempt.key))
        if changed:
            self.display.note(
                f"{name}: {changed[0].name} was edited during the run, so that its result does not go into the cache"
            )
        elif node.cacheable and not self.options.alone:
            self._keep(attempt, result)
        self.outputs[name] = result.outputs
        self.display.finished(name, result)

    def _missing(self, result: StepResult) -> Failure | None:
        """Return a failure if our storage lacks a worker's result: the worker must have written to another storage."""
        lost = [name for name, artifact in result.outputs.items() if not self.execution.results.is_stored(artifact)]
        if not lost:
            return None
        message = f"the result {lost[0]!r} from {result.node} is not in {self.execution.services.storage.describe()}"
        hint = "Set [storage] to a URL that every node of the engine can reach, such as s3://bucket/prefix."
        return Failure(type="ResultMissing", message=f"{message}\n{hint}", retryable=False)

    def _keep(self, attempt: Attempt, result: StepResult) -> None:
        if attempt.kept is not None:
            self._certify(attempt, attempt.kept, result)
            return
        entry = Result(
            run=self.journal.run,
            step=attempt.node.name,
            outputs=result.outputs,
            fingerprint=attempt.fingerprint,
            seconds=result.seconds,
            environment=self.journal.environment,
        )
        self.execution.results.keep(attempt.key, entry)

    def _certify(self, attempt: Attempt, kept: Result, result: StepResult) -> None:
        """Compare a new result with the cached one."""
        likeness = Likeness(self.execution.values, 0.0)
        outputs = result.outputs.items()
        differing = sorted(name for name, now in outputs if likeness.is_another(kept.outputs.get(name), now))
        compared = StepCertified(
            step=attempt.node.name, equal=not differing, differing=tuple(differing), from_run=kept.run
        )
        self.journal.append(compared)
        self.different += [f"{attempt.node.name}.{name}" for name in differing]

    def _failed(self, attempt: Attempt, result: StepResult, failure: Failure) -> None:
        name = attempt.node.name
        self._record(name, attempt.number, result, failure)
        pause = self._retries.after(attempt, failure) if self.failure is None else None
        self.display.failed(name, failure, pause)
        if pause is None and self.failure is None:
            self.failure, self.failed = failure, name

    def _record(self, step: str, attempt: int, result: StepResult, failure: Failure) -> None:
        trace = self.execution.services.blobs.put(failure.traceback.encode()) if failure.traceback else ""
        self.journal.append(StepFailed.of_result(step, attempt, result, failure, trace))
