"""What steps take and return, as OpenLineage's datasets with their version, schema and source.

A dataset or model is called as in a reference (`data/flights`, `models/delay`), with its version beside it; a step's own value
`PIPELINE/STEP.OUTPUT`, with its digest for a version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

from mlopsfw import Artifact
from mlopsfw_observer_openlineage.facets import Json, facet

if TYPE_CHECKING:
    from mlopsfw.roles import Host

_PATTERN = re.compile(r"(?<=[^/:])/[^/]*[*?\[].*")


class Datasets:
    """Makes the datasets of one run's events.

    Args:
        host: Where datasets' own events are read.
        namespace: The namespace of all but outside sources.
        job: The run's job, which its steps' own values are called after.
    """

    def __init__(self, host: Host, namespace: str, job: str) -> None:
        self._host, self._namespace, self._job = host, namespace, job

    def taken(self, inputs: Mapping[str, Any], origin: Mapping[str, str]) -> list[Json]:
        """Return the datasets of a step's inputs: parameter → artifact, with `origin` (parameter → `step.output`)."""
        found = [self._dataset(_artifact(one), origin.get(name, name)) for name, one in inputs.items()]
        return _distinct(found)

    def returned(self, outputs: Mapping[str, Any], step: str) -> list[Json]:
        """Return the datasets of a step's outputs: name → artifact."""
        return _distinct([self._output(_artifact(one), f"{step}.{name}") for name, one in outputs.items()])

    def sources(self, outputs: Mapping[str, Any], run: str) -> list[Json]:
        """Return what lies outside of the project and was read into the dataset versions that `run` made."""
        facts = [self._facts(_artifact(one).ref) for one in outputs.values()]
        return _distinct([_outside(source) for body in facts if body.get("run") == run for source in _sources(body)])

    def _dataset(self, artifact: Artifact, origin: str) -> Json:
        scheme, _, exact = artifact.ref.partition(":/")
        name, _, version = exact.rpartition("@")
        called = f"{scheme}/{name}" if artifact.ref else f"{self._job}/{origin}"
        facts = self._facts(artifact.ref)
        facets = facet("version", datasetVersion=version or artifact.digest)
        if fields := _fields(artifact, facts):
            facets |= facet("schema", fields=fields)
        uri = _uri(_source(facts)) if facts.get("uri") else f"mlopsfw://{quote(self._namespace)}/{quote(called)}"
        facets |= facet("dataSource", name=self._namespace, uri=uri)
        return {"namespace": self._namespace, "name": called, "facets": facets}

    def _output(self, artifact: Artifact, origin: str) -> Json:
        rows = artifact.meta.get("rows")
        statistics = facet("outputStatistics", rowCount=rows) if isinstance(rows, int) else {}
        return {**self._dataset(artifact, origin), "outputFacets": statistics}

    def _facts(self, ref: str) -> Json:
        """Return the body of the event that made a dataset version; empty for all else."""
        scheme, _, exact = ref.partition(":/")
        name, _, version = exact.rpartition("@")
        made = self._events(name) if scheme == "data" else ()
        return next((body for body in made if str(body.get("version")) == version), {})

    def _events(self, name: str) -> Iterator[Json]:
        return (event.body for event in self._host.events(f"dataset/{name}"))


def _artifact(value: Any) -> Artifact:
    return msgspec.convert(value, Artifact)


def _fields(artifact: Artifact, facts: Json) -> list[Json]:
    typed = facts.get("columns") or dict.fromkeys(artifact.meta.get("columns", ()), "")
    return [
        {"name": name, **({"type": str(kind)} if kind else {}), "ordinal_position": number}
        for number, (name, kind) in enumerate(typed.items(), 1)
    ]


def _source(facts: Json) -> str:
    """Return where a version's rows came from, without credentials or query: those are nobody's business."""
    text = str(facts.get("uri") or facts.get("source") or "")
    parts = urlsplit(text) if "://" in text else None
    if parts is None:
        return text
    user, _, host = parts.netloc.rpartition("@")
    place = parts.netloc if parts.scheme == "abfss" and ":" not in user else host  # abfss://container@account
    return f"{parts.scheme}://{place}{parts.path}"


def _sources(facts: Json) -> list[str]:
    """Return each place that a version's rows came from; of a pattern, the folder above it."""
    source = _source(facts)
    places = [source] if facts.get("uri") else [_source({"source": place}) for place in source.split(", ")]
    return [_PATTERN.sub("", place) or place for place in places if place]


def _outside(source: str) -> Json:
    """Return the dataset that OpenLineage's naming makes of a place.

    `s3://bucket` and a key, `postgres://host:port` and `database.schema.table`, or `file` and a path; of HTTP it says nothing.
    """
    scheme, mark, rest = source.partition("://")
    place, _, path = rest.partition("/")
    if scheme in ("postgresql", "postgres"):
        scheme, place, path = "postgres", place if ":" in place else f"{place}:5432", path.replace("/", ".")
    namespace = f"{scheme}://{place}" if mark and place else "file"
    name = path if mark and place else (f"/{path}" if mark else source)
    return {
        "namespace": namespace,
        "name": name or "/",
        "facets": facet("dataSource", name=namespace, uri=_uri(source)),
    }


def _uri(source: str) -> str:
    return quote(source, safe="/:@%") if "://" in source else f"file:{quote(source)}"


def _distinct(found: list[Json]) -> list[Json]:
    return list({(one["namespace"], one["name"], str(one["facets"])): one for one in found}.values())
