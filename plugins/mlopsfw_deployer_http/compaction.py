"""`python -m mlopsfw_deployer_http.compaction FILE`: move an endpoint's log into its tables. FILE holds the endpoint's settings."""

from __future__ import annotations

import sys
from pathlib import Path

from mlopsfw.worker import compact_log
from mlopsfw_deployer_http.settings import Settings, read


def main(file: str) -> None:
    """Move the endpoint's new records into its tables."""
    settings = read(Path(file), Settings)
    if settings is not None:
        compact_log(settings.spec.endpoint, Path(settings.root), settings.config)


if __name__ == "__main__":
    main(*sys.argv[1:])
