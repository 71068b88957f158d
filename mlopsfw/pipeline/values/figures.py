"""Figures as files: what matplotlib, plotly or Pillow draws is kept in a format that anything opens. None of them is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHOWN = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
"""Suffixes of the files that a page shows, and their media types."""
_KINDS = {"matplotlib.figure.Figure": ".png", "plotly.basedatatypes.BaseFigure": ".html", "PIL.Image.Image": ".png"}


def is_figure(value: object) -> bool:
    """Return whether `draw` takes a value."""
    return bool(_kind(value))


def draw(value: Any, folder: Path, name: str) -> Path:
    """Write a figure to a file in `folder` and return it: an image as PNG, a figure of plotly as a page that needs no network."""
    kind = _kind(value)
    file = folder / f"{name}{_KINDS[kind]}"
    if kind.startswith("plotly"):
        value.write_html(file, include_plotlyjs=True)
    elif kind.startswith("matplotlib"):
        value.savefig(file)
    else:
        value.save(file)
    return file


def _kind(value: object) -> str:
    names = (f"{each.__module__}.{each.__qualname__}" for each in type(value).__mro__)
    return next((name for name in names if name in _KINDS), "")
