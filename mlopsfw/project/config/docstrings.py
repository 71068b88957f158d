"""What the docstring of a record says of it and of each field: the one source of the schema and of the reference pages."""

from __future__ import annotations

import inspect
import re
from typing import Any


def summary(each: Any) -> str:
    """Return the first line of a docstring."""
    return str(inspect.getdoc(each) or "").partition("\n")[0]


def prose(each: Any) -> str:
    """Return a docstring without its arguments."""
    return (inspect.getdoc(each) or "").partition("Args:\n")[0].strip()


def description(record: type) -> str:
    """Return what a record is, without its arguments and without the table that it begins with, such as "`[privacy]`:"."""
    text = re.sub(r"^`.*?`[^:.]*: ", "", prose(record))
    return text[:1].upper() + text[1:]


def meanings(record: type) -> dict[str, str]:
    """Return what the docstring of a record, or of a class above it, says of each field."""
    texts: dict[str, str] = {}
    for above in reversed(record.__mro__):
        _, _, arguments = inspect.cleandoc(above.__doc__ or "").partition("Args:\n")
        for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE):
            texts |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return texts
