"""Where files of MLflow lie. What a store says of it are data: nothing outside of the allowed folder is opened."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from mlopsfw.kernel.base.errors import DataError

_LOGGED_MODEL = re.compile(r"m-[0-9a-f]{32}")
_AFTER = "artifacts"


class Places:
    """The folder that files may be taken from.

    Args:
        root: The folder. Links that lead out of it are refused.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))

    def find(self, uri: str, run: str = "", own: str = "") -> Path:
        """Return the file or folder that `uri` means. Raise `DataError` for one that is not below the root.

        Args:
            uri: A path, `file:…`, `runs:/RUN/…`, `models:/m-…` or `mlflow-artifacts:/…`.
            run: The run that it belongs to: a store that was moved has its artifacts below `RUN/artifacts`.
            own: Where the store says that the run's artifacts are.
        """
        try:
            return self._find(uri, run, own)
        except (ValueError, OSError):
            raise DataError(f"{uri[:200]!r} is no place of a file") from None

    def _find(self, uri: str, run: str, own: str) -> Path:
        parts = urlsplit(uri)
        path = unquote(parts.path)
        match parts.scheme:
            case "runs":
                name, _, rest = path.lstrip("/").partition("/")
                return (
                    self._inside(self.find(own, name) / rest, uri)
                    if own
                    else self._moved(f"{name}/{_AFTER}/{rest}", name, uri)
                )
            case "models":
                return self._logged(path.lstrip("/"), uri)
            case "mlflow-artifacts":
                return self._inside(self._root / path.lstrip("/"), uri)
            case "" | "file":
                place = Path(path)
                if self._holds(place):
                    return place
                return self._moved(path, run, uri)
        raise DataError(f"{uri} is on another machine", hint="Copy the artifacts, and name their folder: --artifacts.")

    def is_below(self, uri: str) -> bool:
        """Return whether a path or `file:…` lies below the root by its name; it need not exist."""
        try:
            parts = urlsplit(uri)
        except ValueError:
            return False
        return parts.scheme in ("", "file") and Path(os.path.abspath(unquote(parts.path))).is_relative_to(self._root)  # noqa: PTH100 - links stay

    def _moved(self, path: str, run: str, uri: str) -> Path:
        """Return the same file below the root, of a store whose artifacts were copied from elsewhere."""
        names = PurePosixPath(path).parts
        if run and run in names:
            rest = names[names.index(run) :]
            for place in (self._root.joinpath(*rest), *self._root.glob(f"*/{glob.escape(run)}")):
                moved = place if place.name != run else place.joinpath(*rest[1:])
                if self._holds(moved):
                    return moved
        raise DataError(f"{uri} is not in {self._root}", hint="Name the folder of the artifacts: --artifacts.")

    def _logged(self, name: str, uri: str) -> Path:
        if _LOGGED_MODEL.fullmatch(name):
            for place in (*self._root.glob(f"*/models/{name}/{_AFTER}"), *self._root.glob(f"*/{name}/{_AFTER}")):
                if self._holds(place):
                    return place
        raise DataError(f"{uri} is not in {self._root}", hint="Name the folder of the artifacts: --artifacts.")

    def _inside(self, place: Path, uri: str) -> Path:
        if not self._holds(place):
            raise DataError(f"{uri} is not in {self._root}", hint="Name the folder of the artifacts: --artifacts.")
        return place

    def _holds(self, place: Path) -> bool:
        resolved = Path(os.path.realpath(place))
        return place.is_absolute() and resolved.exists() and resolved.is_relative_to(self._root)

    def check_tree(self, place: Path, most: int) -> None:
        """Raise `DataError` for a file or folder with a link, with what is no plain file, or of more than `most` bytes."""
        size = 0
        for above, folders, names in os.walk(place.parent if place.is_file() else place, followlinks=False):
            for name in [place.name] if place.is_file() else [*folders, *names]:
                each = Path(above, name)
                if each.is_symlink() or not (each.is_file() or each.is_dir()):
                    raise DataError(f"{each} is a link or no plain file")
                size += each.stat().st_size if each.is_file() else 0
            if place.is_file():
                break
        if place.is_symlink() or not (place.is_file() or place.is_dir()):
            raise DataError(f"{place} is a link or no plain file")
        if size > most:
            raise DataError(f"{place} has more than {most >> 20} MiB", hint="Raise --max-artifact.")
