"""References such as `models:/delay@champion`: one grammar for every verb and every config key.

models:/NAME[@ALIAS|@VERSION]      a model version; without a selector the champion
data:/NAME[@VERSION]               a dataset version; without one the latest
runs:/ID[/STEP[.OUTPUT]]           a run, or what one of its steps returned
predictions:/ENDPOINT/ID           a captured prediction: its id, or its caller's where only one has it
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from mlopsfw.kernel.base.errors import InvalidReference

Scheme = Literal["models", "data", "runs"]

PREDICTIONS = "predictions:/"
"""How a reference to a prediction begins. No step takes one, so `parse_reference` knows none."""

_REFERENCE = re.compile(
    r"(?P<scheme>models|data|runs):/(?P<name>[a-z0-9][a-z0-9._-]{0,99})"
    r"(?:@(?P<selector>[a-z0-9][a-z0-9._-]{0,99}))?(?:/(?P<path>[a-z0-9][a-z0-9._/-]{0,199}))?"
)
_PREDICTION = re.compile(r"predictions:/(?P<endpoint>[a-z0-9][a-z0-9._-]{0,99})/(?P<id>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference.

    Args:
        scheme: What it points at.
        name: The model, dataset or run.
        selector: What follows `@`: an alias or a version; empty means the champion of a model, the latest version of a
            dataset.
        path: What follows, for runs: `step` or `step.output`.
    """

    scheme: Scheme
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


def parse_reference(text: str, scheme: Scheme | None = None) -> Reference:
    """Parse `text`; raise `InvalidReference` if it is none, or not of `scheme`.

    A bare name is taken to be of `scheme`.
    """
    full = f"{scheme}:/{text}" if scheme and ":/" not in text else text
    match = _REFERENCE.fullmatch(full)
    if match is None or (scheme and match["scheme"] != scheme):
        form = f"{scheme}:/NAME@VERSION" if scheme else "models:/NAME@ALIAS, data:/NAME@VERSION or runs:/ID"
        raise InvalidReference(f"{text!r} is not a reference", hint=f"Write {form}.")
    return Reference(cast("Scheme", match["scheme"]), match["name"], match["selector"] or "", match["path"] or "")


class PredictionReference(NamedTuple):
    """A parsed reference to a prediction: the endpoint that made it, and its id there."""

    endpoint: str
    id: str


def parse_prediction(text: str) -> PredictionReference:
    """Parse `predictions:/ENDPOINT/ID`; raise `InvalidReference` if `text` is none."""
    match = _PREDICTION.fullmatch(text)
    if match is None:
        raise InvalidReference(f"{text!r} is not a reference to a prediction", hint=f"Write {PREDICTIONS}ENDPOINT/ID.")
    return PredictionReference(match["endpoint"], match["id"])
