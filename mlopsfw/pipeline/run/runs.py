"""Runs, read from the ledger: listed, shown, compared. The coordinator writes them (`mlopsfw.pipeline`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage.references import parse_reference
from mlopsfw.pipeline.run.child import Child, history
from mlopsfw.pipeline.run.flow import RunFlow, inputs_of, wiring_of
from mlopsfw.pipeline.run.liveness import is_lost
from mlopsfw.pipeline.run.metrics import Metric, read_open_logs, read_segment
from mlopsfw.pipeline.run.parameters import flat, written
from mlopsfw.pipeline.run.record import RunView, StepView, fold, stop
from mlopsfw.pipeline.run.search import search

if TYPE_CHECKING:
    from mlopsfw.kernel.index import Index
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.services import Services

__all__ = ["RunView", "Runs", "StepView"]

_PREFIX = "run/"
_SHORT = 6
_ALL = 1 << 62


class Words(Protocol):
    """Free text, which events hold by reference."""

    def clear(self, events: Iterable[Event]) -> list[Event]:
        """Return events with their words in clear."""
        ...


class Runs:
    """The runs of a project.

    Args:
        services: The kernel's.
        index: Returns the index, which says which runs to open.
        words: Reads the messages of failed steps.
    """

    def __init__(self, services: Services, index: Callable[[], Index], words: Words) -> None:
        self._index, self._words = index, words
        self._ledger, self._blobs, self._state = services.ledger, services.blobs, services.workspace.state
        self._clock = services.clock

    def ids(self) -> list[str]:
        """Return the ids of all runs, newest first (ids sort by their time)."""
        return sorted((name.removeprefix(_PREFIX) for name in self._ledger.streams(_PREFIX)), reverse=True)

    def with_step(self, step: str) -> Iterator[RunView]:
        """Yield the runs in which a step began or was cached, newest first, each read when it is asked for."""
        return self._found("SELECT run FROM steps WHERE step = ? AND fingerprint != '' ORDER BY run DESC", step)

    def not_done(self) -> Iterator[RunView]:
        """Yield the runs that did not end well, or not yet, newest first, each read when it is asked for."""
        return self._found("SELECT run FROM runs WHERE status != ? ORDER BY run DESC", "done")

    def _found(self, select: str, *values: str) -> Iterator[RunView]:
        return (self._view(row["run"]) for row in self._index().query(select, values))

    def get(self, run: str) -> RunView:
        """Return one run by its id, an unambiguous beginning or end of it (6 characters at least), `latest`, or `runs:/` and one of these.

        Raises:
            UnknownName: There is none, or several.
        """
        resolved = self.resolve(run)
        view = self._view(resolved)
        if any(step.failure for step in view.steps.values()):
            return self._folded(resolved, self._words.clear(self._events(resolved)))
        return view

    def children(self, run: str, step: str) -> list[Child]:
        """Return the children of a step of a run, in the order of their numbers."""
        return history(self._words.clear(self._events(self.resolve(run))), step).children

    def resolve(self, run: str) -> str:
        """Return the full id that `run` stands for. Raise `UnknownName`."""
        run = run.removeprefix("runs:/")
        ids = self.ids()
        if run in ids:
            return run
        if run == "latest" and ids:
            return ids[0]
        found = [known for known in ids if len(run) >= _SHORT and (known.startswith(run) or known.endswith(run))]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownName(
                f"{len(found)} runs have an id that begins with {run!r}", hint="Write more characters of the id."
            )
        raise UnknownName(f"there is no run {run!r}", hint=nearest(run, ids[:20]))

    def _view(self, run: str) -> RunView:
        """Return a run; the message of a failed step is a reference, which only `get` reads."""
        return self._folded(run, self._events(run))

    def _folded(self, run: str, events: Iterable[Event]) -> RunView:
        view = fold(run, events)
        if view.status == "running" and is_lost(view, self._clock):
            stop(view, "lost")
        return view

    def _events(self, run: str) -> Iterator[Event]:
        return self._ledger.stream(_PREFIX + run).events()

    def artifact(self, reference: str) -> Artifact:
        """Return the artifact of `runs:/id/step.output` (or `runs:/id/step`, its first output), or `runs:/id/name` of a script's run.

        Raises:
            UnknownName: There is none.
        """
        parsed = parse_reference(reference, "runs")
        view = self.get(parsed.name)
        if parsed.path in view.artifacts:
            return view.artifacts[parsed.path]
        if view.facts.kind == "script":
            raise UnknownName(
                f"run {view.id} logged no artifact {parsed.path!r}", hint=nearest(parsed.path, view.artifacts)
            )
        name, _, output = parsed.path.partition(".") if parsed.path not in view.steps else (parsed.path, "", "")
        if name not in view.steps:
            raise UnknownName(f"run {view.id} has no step {name!r}", hint=nearest(name, view.steps))
        outputs = view.steps[name].outputs
        if not outputs or (output and output not in outputs):
            raise UnknownName(
                f"step {name!r} of run {view.id} returned no {output or 'value'!r}", hint=nearest(output, outputs)
            )
        return outputs[output or next(iter(outputs))]

    def metrics(self, run: str) -> list[Metric]:
        """Return every number that the run logged, in the order of logging within each step.

        Of a run that has not ended they include what its open attempts on this machine have logged so far.
        """
        view = self.get(run)
        kept = [metric for segment in view.segments for metric in read_segment(self._blobs.get(segment))]
        return kept if view.finished else kept + read_open_logs(self._state / "runs" / view.id)

    def log(self, run: str, step: str) -> str:
        """Return the output of a step's latest attempt. Raise `UnknownName` if the run has no such step."""
        view = self.get(run)
        if step not in view.steps:
            raise UnknownName(f"run {view.id} has no step {step!r}", hint=nearest(step, view.steps))
        found = view.steps[step]
        if not found.logs and found.status in ("running", "interrupted"):
            file = self._state / "runs" / view.id / step / "log.txt"
            return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        if found.status == "cached" and not found.logs and found.from_run != view.id:
            return self.log(found.from_run, step)
        parts = [self._blobs.get(blob) for blob in (found.logs, found.traceback) if blob]
        return b"\n".join(parts).decode("utf-8", "replace")

    def config(self, run: str) -> dict[str, Any]:
        """Return the configuration that a run had, as JSON values; empty for a run outside of a pipeline."""
        blob = self.get(run).facts.config
        config: dict[str, Any] = msgspec.json.decode(self._blobs.get(blob)) if blob else {}
        return config

    def flow(self, run: str) -> RunFlow:
        """Return the inputs and outputs of a run so far, from the ledger."""
        view = self.get(run)
        events = self._events(view.id)
        outputs = {step.name: step.outputs for step in view.steps.values()}
        return RunFlow(wiring_of(self.config(view.id)), inputs_of(events), outputs)

    def datasets_of(self, run: str, step: str) -> list[str]:
        """Return the dataset versions from which the inputs of a run's step came, as exact references, sorted."""
        return sorted(ref for ref in self.flow(run).upstream(step) if ref.startswith("data:/"))

    def diff(self, first: str, second: str) -> dict[str, dict[str, tuple[Any, Any]]]:
        """Return the differences between two runs: section → name → (value in the first, value in the second). Leaves out equal values.

        Sections: `params` (the configuration), `metrics`, `outputs` (digests), `steps` (status), `code`, `environment`.
        """
        a, b = self.get(first), self.get(second)
        sections = {
            "params": (self._params(a), self._params(b)),
            "metrics": (a.metrics, b.metrics),
            "outputs": (_digests(a), _digests(b)),
            "steps": ({s.name: s.status for s in a.steps.values()}, {s.name: s.status for s in b.steps.values()}),
            "code": (msgspec.to_builtins(a.facts.code), msgspec.to_builtins(b.facts.code)),
            "environment": (self._environment(a), self._environment(b)),
        }
        return {name: changed for name, (x, y) in sections.items() if (changed := differences(x, y))}

    def _params(self, view: RunView) -> dict[str, Any]:
        return flat({**written(self.config(view.id)), "params": view.params})

    def _environment(self, view: RunView) -> dict[str, str]:
        blob = view.facts.environment
        found: dict[str, str] = msgspec.json.decode(self._blobs.get(blob)) if blob else {}
        return found

    def search(self, name: str = "", *, status: str = "", limit: int = 1000) -> list[dict[str, Any]]:
        """Return runs as flat records, newest first; see `mlopsfw.pipeline.run.search.search`."""
        open_ = status in ("running", "lost")  # the index knows no processes
        configs: Callable[[str], dict[str, Any]] = lambda digest: msgspec.json.decode(self._blobs.get(digest))  # noqa: E731
        records = search(
            self._index(), configs, name, "running" if open_ else status, _ALL if open_ and limit > 0 else limit
        )
        for record in records:
            if record["status"] == "running":
                record["status"] = self._view(record["run"]).status
        return [record for record in records if not status or record["status"] == status][:limit]

    def list(self, limit: int | None = None) -> list[RunView]:
        """Return the newest runs, newest first."""
        return [self._view(run) for run in self.ids()[:limit]]


def _digests(view: RunView) -> dict[str, str]:
    return {f"{s.name}.{name}": a.digest for s in view.steps.values() for name, a in s.outputs.items()}


def differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return name → (value in the first, value in the second) for unequal values; None for a missing one. NaN equals NaN."""
    pairs = {name: (first.get(name), second.get(name)) for name in sorted(first.keys() | second.keys())}
    return {name: (a, b) for name, (a, b) in pairs.items() if a != b and (a == a or b == b)}  # noqa: PLR0124 - of NaN
