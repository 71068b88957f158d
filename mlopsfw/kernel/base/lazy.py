"""Modules that annotations name and that cost too much to import with ours: imported when a name is taken from them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)


def lazy(module: str) -> ModuleType:
    """Return what stands for a module in annotations."""
    return _Lazy(module)
