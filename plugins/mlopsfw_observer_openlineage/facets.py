"""OpenLineage's facets: what each is called in an event, and which version of its schema it follows."""

from __future__ import annotations

from functools import cache
from typing import Any

SPEC = "https://openlineage.io/spec"
RUN_EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"

_SCHEMAS = {
    "parent": "1-2-0/ParentRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
}

Json = dict[str, Any]


@cache
def engine_version() -> str:
    """Return mlopsfw's version."""
    from mlopsfw import __version__

    return str(__version__)


def producer() -> str:
    """Return the URI that says who made an event: a package URL (purl)."""
    return f"pkg:pypi/mlopsfw@{engine_version()}"


def facet(called: str, /, **fields: Any) -> Json:
    """Return `{called: facet}` with what every facet carries."""
    version, _, schema = _SCHEMAS[called].partition("/")
    url = f"{SPEC}/facets/{version}/{schema}.json#/$defs/{schema}"
    return {called: {"_producer": producer(), "_schemaURL": url, **fields}}
