"""What a source is made with: a download that resumes where it broke, credentials kept out of messages, the rows of a lazy frame in batches.

The roles themselves (`Source`, `SourceRequest`, `RemoteFile`, `SourceTable`) stand in `mlopsfw.roles`.
"""

from __future__ import annotations

from mlopsfw.data.intake.download import Dropped, Part, Resumable, download
from mlopsfw.data.intake.places import check_credentials, shown
from mlopsfw.data.tables.delta_scan import check_place, scan_delta
from mlopsfw.data.tables.digest import record_batches

__all__ = [
    "Dropped",
    "Part",
    "Resumable",
    "check_credentials",
    "check_place",
    "download",
    "record_batches",
    "scan_delta",
    "shown",
]
