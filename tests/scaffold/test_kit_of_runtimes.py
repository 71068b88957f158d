"""The sample runtime passes its own tests as it stands; in a file of its own, since the sample trainer brings a runtime too."""

from __future__ import annotations

from mlopsfw.scaffold.kits.runtime import *  # noqa: F403
