"""The names of the roles and the version of the hooks: the little that a listing of plugins needs to know."""

from __future__ import annotations

API_VERSION = 1
"""The major version of the hooks; the entry-point group is `mlopsfw.v<API_VERSION>`."""

ROLES = ("storage", "trainer", "runtime", "deployer", "monitor", "alerter", "engine", "step", "format", "source")
"""The roles selected by name; also the first part of an entry point's name.

A format is called as its suffix, a source as the scheme of its URLs, or as the mark of its folders.
"""
