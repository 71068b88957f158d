"""What an installation without the extra `data` cannot do. It asks: status, listings, lineage, audit. What reads tables needs the extra."""

from __future__ import annotations

from importlib.util import find_spec

from mlopsfw.kernel.base.errors import UsageError

_TABLES = {"polars": "Polars", "pyarrow": "PyArrow", "deltalake": "deltalake"}


def missing_tables(error: BaseException | None) -> UsageError | None:
    """Return what to install where `error` comes from a package of the extra `data` that is not there; else None."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (package := (error.name or "").partition(".")[0]) in _TABLES:
            return _missing(package)
        error = error.__cause__
    return None


def require_tables() -> None:
    """Raise `UsageError` unless the extra `data` is installed: before a worker or a server starts, which would fail later."""
    for package in _TABLES:
        if find_spec(package) is None:
            raise _missing(package)


def _missing(package: str) -> UsageError:
    return UsageError(f"this needs {_TABLES[package]}, which is not installed. Run: pip install 'mlopsfw[data]'")
