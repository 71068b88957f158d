"""The frame of every HTML page that a plugin draws: head, policy, palette, title and footer."""

from __future__ import annotations

from mlopsfw.kernel.base.pages import escape, framed

__all__ = ["escape", "framed"]
