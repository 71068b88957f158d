"""What came from what: dataset versions, runs, model versions, endpoints and predictions, walked both ways over the ledger's events.

Nothing is stored for it: the events of datasets, runs, models and endpoints name each other, and a captured prediction names
its model and its endpoint's revision. A node is an exact reference (`data:/flights@3`, `runs:/01j…`, `models:/delay@2`,
`predictions:/delay/01j…-0`), or `endpoints:/delay@5` for a revision of an endpoint, or `source:…` for what lies outside of the
project. A model does not list its predictions: there may be billions of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.references import PREDICTIONS, Reference, parse_prediction, parse_reference
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.pipeline.graph.partnames import step_of

if TYPE_CHECKING:
    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.models.registry import ModelVersion
    from mlopsfw.project.facade import Project


class Edge(msgspec.Struct, frozen=True):
    """That one thing led to another.

    Args:
        source: What was there first.
        target: What came of it.
        how: What the source did for it: `trained`, `read by`, `committed`, ….
    """

    source: str
    target: str
    how: str


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a thing came from, and everything that came of it.

    Args:
        root: The thing.
        nodes: Every node, the root's among them → facts for people.
        up: The edges that lead to the root.
        down: The edges that lead from it.
    """

    root: str
    nodes: dict[str, dict[str, Any]]
    up: tuple[Edge, ...]
    down: tuple[Edge, ...]


def walk(project: Project, ref: str) -> Lineage:
    """Return the lineage of what `ref` names: a dataset version, a model version, a run, a step's value or a prediction.

    Raises:
        InvalidReference: It is no reference.
        UnknownName: There is no such thing.
    """
    predicted = _of_prediction(project, ref) if ref.startswith(PREDICTIONS) else None
    root = ref if predicted else _exact(project, parse_reference(ref))
    edges, facts = _everything(project)
    if predicted:
        edges, facts = list(dict.fromkeys((*edges, *predicted[0]))), {**facts, root: predicted[1]}
    up = _follow(root, edges, upwards=True)
    down = _follow(root, edges, upwards=False)
    named = {root, *(edge.source for edge in up), *(edge.target for edge in down)}
    return Lineage(root=root, nodes={node: facts.get(node, {}) for node in sorted(named)}, up=up, down=down)


def downstream(project: Project, refs: Iterable[str]) -> set[str]:
    """Return every node that came, or may have come, of any of the exact references `refs`, and those themselves."""
    edges = _derived(project)
    roots = set(refs)
    return roots | {edge.target for root in roots for edge in _follow(root, edges, upwards=False)}


def origins(project: Project, roots: Iterable[str]) -> dict[str, set[str]]:
    """Return for each of the exact references `roots` what it was made from, and that from, and so on.

    Left out is the version before the one that was appended to, or restored: a version holds all of its rows itself.
    """
    edges = [edge for edge in _derived(project) if edge.how not in ("grew into", "restored as")]
    return {root: {edge.source for edge in _follow(root, edges, upwards=True)} for root in roots}


def _derived(project: Project) -> list[Edge]:
    """Return every edge, and which dataset versions became which within the run that committed both."""
    edges, _ = _everything(project)
    committed: dict[str, set[str]] = {}
    for edge in edges:
        if edge.how == "committed":
            committed.setdefault(edge.source.removeprefix("runs:/"), set()).add(edge.target)
    return edges + [edge for run, made in committed.items() for edge in _RunFlow(project, run).derived(made)]


def used_by(project: Project, run: str) -> set[str]:
    """Return every dataset and model version that the steps of a run took or returned so far, as exact references."""
    return _RunFlow(project, run).used


def datasets_of(project: Project, run: str, step: str) -> list[str]:
    """Return the dataset versions that the inputs of a run's step came from, as exact references, sorted."""
    view = _RunFlow(project, run)
    return sorted(ref for ref in view.upstream(step) if ref.startswith("data:/"))


def _exact(project: Project, reference: Reference) -> str:
    if reference.scheme == "data":
        return project.datasets.resolve(str(reference)).ref
    if reference.scheme == "models":
        return project.registry.resolve(str(reference)).ref
    return f"runs:/{project.runs.get(reference.name).id}"


def _follow(root: str, edges: Iterable[Edge], *, upwards: bool) -> tuple[Edge, ...]:
    near: dict[str, list[Edge]] = {}
    for edge in edges:
        near.setdefault(edge.target if upwards else edge.source, []).append(edge)
    found: list[Edge] = []
    seen, ahead = {root}, [root]
    while ahead:
        for edge in near.get(ahead.pop(0), ()):
            found.append(edge)
            beyond = edge.source if upwards else edge.target
            if beyond not in seen:
                seen.add(beyond)
                ahead.append(beyond)
    return tuple(found)


def _everything(project: Project) -> tuple[list[Edge], dict[str, dict[str, Any]]]:
    edges: list[Edge] = []
    facts: dict[str, dict[str, Any]] = {}
    made: set[tuple[str, str]] = set()  # (run, dataset version) where the run itself committed it
    for latest in project.datasets.newest():
        for version in reversed(project.datasets.log(latest.name)):
            facts[version.ref] = _dataset_facts(version)
            edges += _of_dataset(version)
            made.add((version.run, version.ref))
    for model in project.registry.models():
        for registered in model.versions:
            facts[registered.ref] = _model_facts(registered)
            edges += _of_model(registered)
    for run in project.runs.ids():
        flow = _RunFlow(project, run)
        facts[f"runs:/{run}"] = flow.facts
        used = [ref for ref in sorted(flow.used) if (run, ref) not in made]
        edges += [Edge(ref, f"runs:/{run}", "read by") for ref in used]
    for stream in project.ledger.streams("endpoint/"):
        edges += _of_endpoint(stream.partition("/")[2], project.ledger.stream(stream).events())
    return list(dict.fromkeys(edges)), facts


def _dataset_facts(version: DatasetVersion) -> dict[str, Any]:
    facts = {"rows": version.rows, "digest": version.digest, "time": version.time}
    return facts | ({"contract": version.verdict} if version.verdict else {})


def _of_dataset(version: DatasetVersion) -> Iterator[Edge]:
    if version.run:
        yield Edge(f"runs:/{version.run}", version.ref, "committed")
    if version.of:
        yield Edge(f"data:/{version.name}@{version.of}", version.ref, "restored as")
        return
    if version.source or version.uri:
        yield Edge(f"source:{version.uri or version.source}", version.ref, "read into")
    if version.mode == "append" and version.version > 1:
        yield Edge(f"data:/{version.name}@{version.version - 1}", version.ref, "grew into")


def _of_model(version: ModelVersion) -> Iterator[Edge]:
    if version.run:
        yield Edge(f"runs:/{version.run}", version.ref, "registered")
    for dataset in version.datasets:
        yield Edge(dataset, version.ref, "trained")


def _model_facts(version: ModelVersion) -> dict[str, Any]:
    return {"aliases": list(version.aliases), "bundle": version.bundle, "time": version.time} | (
        {"commit": version.code["commit"]} if "commit" in version.code else {}
    )


def _of_endpoint(name: str, events: Iterable[Event]) -> Iterator[Edge]:
    for event in events:
        body = event.body
        if event.type == "endpoint.wanted" and body.get("model"):
            source = f"models:/{body['model']}@{body['version']}"
            yield Edge(source, f"endpoints:/{name}@{body['revision']}", "served at")


def _of_prediction(project: Project, ref: str) -> tuple[tuple[Edge, ...], dict[str, Any]]:
    """Return what led to a captured prediction, and when it was made; never its inputs, which may be personal."""
    named = parse_prediction(ref)
    row = project.captures.find(named.endpoint, named.id)
    model, endpoint = f"models:/{row['model']}@{row['version']}", f"endpoints:/{named.endpoint}@{row['revision']}"
    edges = (Edge(model, endpoint, "served at"), Edge(endpoint, ref, "answered"))
    return edges, {"time": row["processed_time"].isoformat(), "bundle": row["bundle"]}


class _RunFlow:
    """What flowed through one run: each step's inputs and outputs, as its events and its configuration tell them.

    Args:
        project: The project.
        run: The run's id.
    """

    def __init__(self, project: Project, run: str) -> None:
        self._project = project
        self._view = project.runs.get(run)
        self._wiring = self._read_wiring(run)
        self._outputs = {step.name: step.outputs for step in self._view.steps.values()}

    @property
    def facts(self) -> dict[str, Any]:
        """What to say of the run."""
        return {"status": self._view.status, "started": self._view.started, "pipeline": self._view.pipeline}

    @property
    def used(self) -> set[str]:
        """Every dataset and model version that its steps took or returned."""
        found = {ref for step in self._wiring for ref in self.upstream(step)}
        returned = (a.ref for outputs in self._outputs.values() for a in outputs.values() if a.kind == "dataset")
        return found | set(returned)

    def derived(self, committed: set[str]) -> Iterator[Edge]:
        """Yield which dataset versions became which of those that the run committed: of one that no step returned, all may have."""
        steps = {
            a.ref: step for step, outputs in self._outputs.items() for a in outputs.values() if a.kind == "dataset"
        }
        for made in committed:
            sources = self.upstream(steps[made]) if made in steps else self.used
            yield from (
                Edge(source, made, "became") for source in sorted(sources - {made}) if source.startswith("data:/")
            )

    def upstream(self, step: str) -> set[str]:
        """Return the references that the inputs of `step`, or of a part of it, came from, directly or through other steps."""
        step = step_of(step)
        found: set[str] = set()
        seen, ahead = {step}, [step]
        while ahead:
            for source in self._wiring.get(ahead.pop(), {}).values():
                if ":/" in source:
                    found.add(self._pinned(source))
                    continue
                name = source if source in self._outputs else source.rpartition(".")[0]
                found |= {a.ref for a in self._outputs.get(name, {}).values() if a.kind == "dataset"}
                if name and name not in seen:
                    seen.add(name)
                    ahead.append(name)
        return found - {""}

    @staticmethod
    def _pinned(source: str) -> str:
        """Return the exact reference; nothing for one that floats still, since its step never took what it would have meant."""
        reference = parse_reference(source)
        if reference.scheme == "runs":
            return f"runs:/{reference.name}"
        return source if reference.version is not None else ""

    def _read_wiring(self, run: str) -> dict[str, dict[str, str]]:
        """Return step → parameter → source, references exact where the run's events hold what they meant then."""
        config = self._project.runs.config(run)
        wiring = {name: dict(step.get("inputs", {})) for name, step in config.get("steps", {}).items()}
        for event in self._project.ledger.stream(f"run/{run}").events():
            if event.type in ("step.started", "step.cached"):
                taken: Mapping[str, Any] = event.body.get("inputs", {})
                for parameter, artifact in taken.items():
                    ref = msgspec.convert(artifact, Artifact).ref
                    if ref and ":/" in wiring.get(event.body["step"], {}).get(parameter, ""):
                        wiring[event.body["step"]][parameter] = ref
        return wiring
