"""The component `runs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.component import Component, Edge, Fact, ReferenceKind
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage.references import parse_reference
from mlopsfw.pipeline.cache.events import EVENTS as CACHE_EVENTS
from mlopsfw.pipeline.run.events import EVENTS as RUN_EVENTS
from mlopsfw.pipeline.run.flow import RunFlow, Wiring, wiring_of
from mlopsfw.pipeline.run.index_tables import INDEX

if TYPE_CHECKING:
    from mlopsfw.data.datasets.removal.needs import Need
    from mlopsfw.kernel.component import Holding
    from mlopsfw.kernel.index import Index
    from mlopsfw.pipeline.run.runs import Runs


def component(runs: Callable[[], Runs], needs: Need, holdings: Callable[[], Iterable[Holding]]) -> Component:
    """Return the component. It reads its arguments only when it is used."""
    lineage = _RunLineage(runs)
    kind = ReferenceKind(
        scheme="runs", exact=lineage.exact, facts=lineage.facts, artifact=lambda ref: runs().artifact(ref)
    )
    return Component(
        name="runs",
        events=(*RUN_EVENTS, *CACHE_EVENTS),
        index=INDEX,
        edges=lineage.edges,
        references=(kind,),
        needs=needs,
        holdings=holdings,
    )


class _RunLineage:
    def __init__(self, runs: Callable[[], Runs]) -> None:
        self._runs = runs

    def edges(self, index: Index) -> Iterator[Edge]:
        """Yield the references that runs read, and which dataset versions became which within one run."""
        made: dict[str, list[str]] = {}
        sql = "SELECT facts ->> '$.run' AS run, dataset, version FROM datasets WHERE facts ->> '$.run' <> ''"
        for row in index.query(sql, fresh=False):
            made.setdefault(row["run"], []).append(f"data:/{row['dataset']}@{row['version']}")
        taken, returned = self._steps(index)
        for row in index.query("SELECT run, wiring FROM runs", fresh=False):
            run = row["run"]
            wiring: Wiring = msgspec.json.decode(row["wiring"]) if row["wiring"] else self._configured(run)
            flow = RunFlow(wiring, taken.get(run, {}), returned.get(run, {}))
            for ref in sorted(flow.used.difference(made.get(run, ()))):
                yield Edge(ref, f"runs:/{run}", "read by")
            yield from flow.derived(made.get(run, ()))
        origins = "SELECT run, facts ->> '$.reproduces' AS origin FROM runs WHERE origin <> ''"
        for row in index.query(origins, fresh=False):
            yield Edge(f"runs:/{row['origin']}", f"runs:/{row['run']}", "reproduced by")

    def _configured(self, run: str) -> Wiring:
        """Return the wiring of a run of an earlier release, whose first event does not hold it."""
        return wiring_of(self._runs().config(run))

    @staticmethod
    def _steps(index: Index) -> tuple[dict[str, Wiring], dict[str, dict[str, dict[str, Artifact]]]]:
        taken: dict[str, Wiring] = {}
        returned: dict[str, dict[str, dict[str, Artifact]]] = {}
        for row in index.query("SELECT run, step, inputs, outputs FROM steps", fresh=False):
            if row["inputs"]:
                taken.setdefault(row["run"], {})[row["step"]] = msgspec.json.decode(row["inputs"])
            if row["outputs"]:
                outputs = msgspec.json.decode(row["outputs"], type=dict[str, Artifact])
                returned.setdefault(row["run"], {})[row["step"]] = outputs
        return taken, returned

    def exact(self, ref: str, index: Index) -> str:
        name = parse_reference(ref, "runs").name
        sql = "SELECT run FROM runs WHERE run = ?"
        params: tuple[str, ...] = (name,)
        if name == "latest":
            sql, params = "SELECT run FROM runs ORDER BY run DESC LIMIT 1", ()
        rows = index.query(sql, params)
        return f"runs:/{rows[0]['run'] if rows else self._runs().resolve(name)}"

    def facts(self, ref: str, index: Index) -> Mapping[str, Fact]:
        name = parse_reference(ref, "runs").name
        rows = index.query("SELECT * FROM runs WHERE run = ?", (name,), fresh=False)
        if not rows:
            return {}
        facts = ("status", "started", "pipeline")
        return {name_: Fact(rows[0][name_], f"run/{name}#1") for name_ in facts}
