"""What steps take and return, as OpenLineage's datasets with their version, schema and source.

A dataset or model is called as in a reference (`data/flights`, `models/delay`), with its version beside it; a step's own value
`PIPELINE/STEP.OUTPUT`, with its digest for a version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from mlopsfw.events import VERSION_EVENTS, VersionRecord
from mlopsfw_observer_openlineage.facets import Json, facet

if TYPE_CHECKING:
    from mlopsfw.roles import Artifact, Host

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

    def taken(self, inputs: Mapping[str, Artifact], origin: Mapping[str, str]) -> list[Json]:
        """Return the datasets of a step's inputs: parameter → artifact, with `origin` (parameter → `step.output`)."""
        return _distinct([self._dataset(value, origin.get(name, name)) for name, value in inputs.items()])

    def returned(self, outputs: Mapping[str, Artifact], step: str) -> list[Json]:
        """Return the datasets of a step's outputs: name → artifact."""
        return _distinct([self._output(value, f"{step}.{name}") for name, value in outputs.items()])

    def sources(self, outputs: Mapping[str, Artifact], run: str) -> list[Json]:
        """Return what lies outside of the project and was read into the dataset versions that `run` made."""
        versions = [self._version(value.ref) for value in outputs.values()]
        made = [version for version in versions if version is not None and version.run == run]
        return _distinct([_outside(source) for version in made for source in _sources(version)])

    def _dataset(self, artifact: Artifact, origin: str) -> Json:
        scheme, _, exact = artifact.ref.partition(":/")
        name, _, version = exact.rpartition("@")
        called = f"{scheme}/{name}" if artifact.ref else f"{self._job}/{origin}"
        record = self._version(artifact.ref)
        facets = facet("version", datasetVersion=version or artifact.digest)
        if fields := _fields(artifact, record):
            facets |= facet("schema", fields=fields)
        referenced = _place(record.uri) if record else ""
        uri = _uri(referenced) if referenced else f"mlopsfw://{quote(self._namespace)}/{quote(called)}"
        facets |= facet("dataSource", name=self._namespace, uri=uri)
        return {"namespace": self._namespace, "name": called, "facets": facets}

    def _output(self, artifact: Artifact, origin: str) -> Json:
        rows = artifact.meta.get("rows")
        statistics = facet("outputStatistics", rowCount=rows) if isinstance(rows, int) else {}
        return {**self._dataset(artifact, origin), "outputFacets": statistics}

    def _version(self, ref: str) -> VersionRecord | None:
        """Return what the event that made a dataset version says; None for all else."""
        scheme, _, exact = ref.partition(":/")
        name, _, version = exact.rpartition("@")
        records = self._versions(name) if scheme == "data" else ()
        return next((record for record in records if str(record.version) == version), None)

    def _versions(self, name: str) -> Iterator[VersionRecord]:
        for event in self._host.events(f"dataset/{name}"):
            if kind := VERSION_EVENTS.get(event.type):
                yield kind.of(event)


def _fields(artifact: Artifact, version: VersionRecord | None) -> list[Json]:
    columns = version.columns if version else {}
    typed = columns or dict.fromkeys(artifact.meta.get("columns", ()), "")
    return [
        {"name": name, **({"type": str(kind)} if kind else {}), "ordinal_position": number}
        for number, (name, kind) in enumerate(typed.items(), 1)
    ]


def _place(text: str) -> str:
    """Return a place that rows came from without credentials or query: those are nobody's business."""
    parts = urlsplit(text) if "://" in text else None
    if parts is None:
        return text
    user, _, host = parts.netloc.rpartition("@")
    place = parts.netloc if parts.scheme == "abfss" and ":" not in user else host  # abfss://container@account
    return f"{parts.scheme}://{place}{parts.path}"


def _sources(version: VersionRecord) -> list[str]:
    """Return each place that a version's rows came from; of a pattern, the folder above it."""
    places = map(_place, [version.uri] if version.uri else version.source.split(", "))
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


def _distinct(datasets: list[Json]) -> list[Json]:
    return list({(each["namespace"], each["name"], str(each["facets"])): each for each in datasets}.values())
