"""What a card consists of, apart from how it looks: sections of paragraphs and tables; and the same as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mlopsfw.models.bundle.card import CONTROL

_SPECIAL = re.compile(r"([\\`*_\[\]#!|<>])")


class Paragraph(NamedTuple):
    """A paragraph of plain text.

    Args:
        text: The text.
        strong: Whether a reader must not overlook it.
    """

    text: str
    strong: bool = False


class Table(NamedTuple):
    """A table. A row whose last cell is empty says nothing, and is left out.

    Args:
        rows: The rows, as long as the head.
        head: The names of the columns; empty for facts and their values.
    """

    rows: tuple[tuple[Any, ...], ...]
    head: tuple[str, ...] = ("", "")

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, ...]], *head: str) -> Table:
        """Return the table of the rows that say something."""
        return cls(tuple(row for row in rows if row[-1] not in ("", None)), head or ("", ""))


class Section(NamedTuple):
    """A section of a card.

    Args:
        title: Its title.
        blocks: What is in it, in order.
    """

    title: str
    blocks: tuple[Paragraph | Table, ...]


class Card(NamedTuple):
    """A card.

    Args:
        title: What it is about.
        sections: Its sections. The first one may have no title.
    """

    title: str
    sections: tuple[Section, ...]


def one_line(value: Any) -> str:
    """Return a value as text in one line, without control characters."""
    return " ".join(CONTROL.sub(" ", str(value)).split())


def markdown(card: Card) -> str:
    """Return a card as Markdown. Escapes every text, since pages show cards."""
    return "\n\n".join([f"# {_text(card.title)}", *_blocks(card)]) + "\n"


def _blocks(card: Card) -> Iterator[str]:
    for section in card.sections:
        if section.title:
            yield f"## {_text(section.title)}"
        for block in section.blocks:
            if isinstance(block, Paragraph):
                yield f"**{_text(block.text)}**" if block.strong else _text(block.text)
            elif block.rows:
                yield _table(block)


def _table(table: Table) -> str:
    head = f"| {' | '.join(map(_text, table.head))} |" if any(table.head) else "| | |"
    rows = [f"| {' | '.join(map(_text, row))} |" for row in table.rows]
    return "\n".join([head, "|" + "---|" * len(table.head), *rows])


def _text(value: Any) -> str:
    return _SPECIAL.sub(r"\\\1", one_line(value))
