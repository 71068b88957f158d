"""Each sample plugin passes its own tests as it stands."""

from __future__ import annotations

from mlopsfw.scaffold.kits.alerter import *  # noqa: F403 - the tests of the samples are collected here
from mlopsfw.scaffold.kits.command import *  # noqa: F403
from mlopsfw.scaffold.kits.component import *  # noqa: F403
from mlopsfw.scaffold.kits.deployer import *  # noqa: F403
from mlopsfw.scaffold.kits.engine import *  # noqa: F403
from mlopsfw.scaffold.kits.format import *  # noqa: F403
from mlopsfw.scaffold.kits.metric import *  # noqa: F403
from mlopsfw.scaffold.kits.monitor import *  # noqa: F403
from mlopsfw.scaffold.kits.observer import *  # noqa: F403
from mlopsfw.scaffold.kits.secrets import *  # noqa: F403
from mlopsfw.scaffold.kits.source import *  # noqa: F403
from mlopsfw.scaffold.kits.step import *  # noqa: F403
from mlopsfw.scaffold.kits.storage import *  # noqa: F403
from mlopsfw.scaffold.kits.trainer import *  # noqa: F403
