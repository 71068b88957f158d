"""Python imports this when it starts: a process that a walk starts records too."""

from __future__ import annotations

import os
from pathlib import Path

if "MLOPSFW_WALK" in os.environ:
    from recorder import Recorder

    Recorder(Path(os.environ["MLOPSFW_WALK"])).start()
