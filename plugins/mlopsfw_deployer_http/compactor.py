"""Move captured predictions into their table from time to time, in a child process, so that the server never loads Polars."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mlopsfw.capturelog.appendlog import segments
from mlopsfw_deployer_http.logs import log
from mlopsfw_deployer_http.settings import Settings, read


class Compactor:
    """Compacts one endpoint's log whenever it has grown.

    Args:
        settings: The file with the endpoint's settings.
    """

    def __init__(self, settings: Path) -> None:
        self._settings = settings
        self._seen: dict[str, int] = {}

    async def run(self) -> None:
        """Compact until cancelled."""
        while True:
            try:
                await self._once()
            except (
                OSError,
                ValueError,
            ) as error:  # no space, no process, or a segment that has just gone: try again next time
                log("compaction failed", error=str(error))
                await asyncio.sleep(60.0)

    async def _once(self) -> None:
        settings = read(self._settings, Settings)
        if settings is None or settings.http.compact_seconds <= 0:
            await asyncio.sleep(60.0)  # a later revision may change it
            return
        await asyncio.sleep(settings.http.compact_seconds)
        sizes = {path.name: path.stat().st_size for path in segments(Path(settings.captures))}
        if sizes != self._seen:
            await self._compact()
            self._seen = sizes

    async def _compact(self) -> None:
        command = [sys.executable, "-P", "-m", "mlopsfw_deployer_http.compaction", str(self._settings)]
        process = await asyncio.create_subprocess_exec(*command)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            raise
        if status:
            log("compaction failed", status=status)
