"""A stored bundle's manifest and profile, read only from its blobs: writes no folder and loads no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.models.bundle.files import MANIFEST, PROFILE
from mlopsfw.models.bundle.manifest import decode_manifest

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.kernel.store.blobs import BlobStore


def stored_manifest(blobs: BlobStore, bundle: str) -> Manifest:
    """Return `bundle.json` of the bundle whose manifest of files is the blob `bundle`. Raise `NotFound` or `Corrupt`."""
    return decode_manifest(_file(blobs, bundle, MANIFEST))


def stored_profile(blobs: BlobStore, bundle: str) -> dict[str, Any]:
    """Return the training profile: column → `mlopsfw_core.Reference` as a dict. Raise `NotFound` or `Corrupt`."""
    return msgspec.json.decode(_file(blobs, bundle, PROFILE), type=dict[str, Any])


def _file(blobs: BlobStore, bundle: str, name: str) -> bytes:
    return blobs.get(blobs.manifest(bundle)[name])
