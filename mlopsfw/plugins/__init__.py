"""Plugins: which there are, which one a name selects, and who is to blame. The kernel imports none before it is selected."""

from __future__ import annotations

from mlopsfw.plugins.catalog import Catalog, Claim
from mlopsfw.plugins.manager import PluginManager

__all__ = ["Catalog", "Claim", "PluginManager"]
