"""A card as one HTML page."""

from __future__ import annotations

from typing import Any

from mlopsfw.models.registry.card_layout import Card, Paragraph, Section, Table, one_line
from mlopsfw.pages import escape, framed

_FOOTER = "Values in brackets are 95% intervals. What the file of the project says of purpose and owner is shown as it is today."


def render(card: Card) -> str:
    """Return the page."""
    return framed("mlopsfw.models.registry", card.title, _FOOTER, body="".join(map(_section, card.sections)))


def _section(section: Section) -> str:
    title = f"<h2>{_text(section.title)}</h2>" if section.title else ""
    return title + "".join(map(_block, section.blocks))


def _block(block: Paragraph | Table) -> str:
    if isinstance(block, Paragraph):
        return f"<p><b>{_text(block.text)}</b></p>" if block.strong else f"<p>{_text(block.text)}</p>"
    if not block.rows:
        return ""
    head = f"<thead><tr>{_cells('th', block.head)}</tr></thead>" if any(block.head) else ""
    rows = "".join(f"<tr>{_cells('td', row)}</tr>" for row in block.rows)
    return f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>'


def _cells(tag: str, row: tuple[Any, ...]) -> str:
    return "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in row)


def _text(value: Any) -> str:
    return escape(one_line(value))
