"""The sources `s3` (also `s3a`), `gs` and `az` (also `azure`, `abfs`, `abfss`): objects in a bucket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Source


class BucketConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[source.s3]`, `[source.gs]`, `[source.az]`: there is nothing to set."""


def _build(_config: BucketConfig, _host: Host) -> Source:
    from mlopsfw_source_bucket.source import BucketSource

    return BucketSource()


@hookimpl
def mlopsfw_sources() -> Iterable[Provider[Source]]:
    """Offer objects in buckets, by each of their schemes."""
    for scheme in ("s3", "s3a"):
        yield Provider(scheme, BucketConfig, _build, "Objects in S3 and what speaks its protocol")
    yield Provider("gs", BucketConfig, _build, "Objects in Google Cloud Storage")
    for scheme in ("az", "azure", "abfs", "abfss"):
        yield Provider(scheme, BucketConfig, _build, "Objects in Azure Blob Storage")
