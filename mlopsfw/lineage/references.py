"""References such as `models:/delay@champion`: one grammar for every verb and every config key.

    SCHEME:/NAME[@SELECTOR][/PATH]

The schemes are those of the components' kinds of references (`ReferenceKind`), such as `data`, `models` and `runs`. The
component says what a selector or a path means, and what a reference without one stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlopsfw.kernel.base.errors import InvalidReference

_REFERENCE = re.compile(
    r"(?P<scheme>[a-z][a-z0-9_-]{0,29}):/(?P<name>[a-z0-9][a-z0-9._-]{0,99})"
    r"(?:@(?P<selector>[a-z0-9][a-z0-9._-]{0,99}))?(?:/(?P<path>\w[\w .,+=@()\[\]~/-]{0,199}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference.

    Args:
        scheme: What kind of thing it points at.
        name: The thing, such as a model, a dataset or a run.
        selector: What follows `@`, such as an alias or a version; empty where nothing does.
        path: What follows: a part of the thing, such as `step.output` of a run.
    """

    scheme: str
    name: str
    selector: str = ""
    path: str = ""

    @property
    def version(self) -> int | None:
        """The version where the selector is a number."""
        return int(self.selector) if self.selector.isdecimal() else None

    def __str__(self) -> str:
        selector = f"@{self.selector}" if self.selector else ""
        return f"{self.scheme}:/{self.name}{selector}{f'/{self.path}' if self.path else ''}"


def is_reference(text: str) -> bool:
    """Return whether `text` is a whole reference, with its scheme."""
    return _REFERENCE.fullmatch(text) is not None


def parse_reference(text: str, scheme: str = "") -> Reference:
    """Parse `text`; raise `InvalidReference` if it is none, or not of `scheme`.

    A bare name is taken to be of `scheme`.
    """
    if not isinstance(text, str):
        raise InvalidReference(f"{text!r} is not a reference", hint=f"Write {scheme or 'models'}:/NAME, as text.")
    full = f"{scheme}:/{text}" if scheme and ":/" not in text else text
    match = _REFERENCE.fullmatch(full)
    if match is None or (scheme and match["scheme"] != scheme):
        form = f"{scheme}:/NAME@VERSION" if scheme else "SCHEME:/NAME@VERSION, such as data:/flights@3"
        raise InvalidReference(f"{text!r} is not a reference", hint=f"Write {form}.")
    return Reference(match["scheme"], match["name"], match["selector"] or "", match["path"] or "")
