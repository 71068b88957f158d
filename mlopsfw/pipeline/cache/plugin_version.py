"""The part of a plugin that the cache key contains: distribution, version and code.

While you develop a plugin, its version does not identify the code: an editable install, a folder on PYTHONPATH and a rebuilt wheel keep
the version. For mlopsfw's own plugins the version and `Step.version` are enough.

"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.pipeline.cache.closure import code_of
from mlopsfw.pipeline.cache.installed import content_digest

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.pipeline.cache.codebase import Codebase

_OURS = "mlopsfw"


def plugin_version(claim: Claim, codebase: Codebase) -> str:
    """Return a plugin's distribution and version, and for third parties the digest of what its distribution holds.

    That is the code that its hook reaches where it can be followed, else every module of its package; every other file of the
    package; and what an installer recorded of the distribution's other files.
    """
    version = f"{claim.distribution} {claim.version}"
    if claim.distribution == _OURS:
        return version
    package = claim.module.partition(":")[0].partition(".")[0]
    return f"{version}, code {content_digest(_reached(claim, codebase), package, (claim.distribution,))}"


def _reached(claim: Claim, codebase: Codebase) -> str:
    """Return the digest of the code that its hook reaches, or nothing if that is installed or cannot be followed."""
    module, _, holder = claim.module.partition(":")
    if codebase.module(module) is None:
        return ""
    try:
        return code_of(codebase, f"{module}:{holder or KINDS[claim.kind].spec}").digest
    except UsageError:
        return ""
