"""What the functions of a plugin's component may return: checked when the answer arrives, so that no wrong one goes further."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from mlopsfw.kernel.base.errors import MlopsfwError, PluginError
from mlopsfw.kernel.component import Edge, Fact, Held
from mlopsfw.kernel.plugins.blame import blaming, watched
from mlopsfw.kernel.roles.artifact import Artifact, ArtifactKind
from mlopsfw.kernel.roles.check import Diagnosis
from mlopsfw.lineage import canonical

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.catalog import Claim

_DIGEST = re.compile(r"\A[0-9a-f]{64}\Z")


class Answer(NamedTuple):
    """What a function may return.

    Args:
        words: What it is, for people.
        is_right: Whether a value is such.
        each: Whether the function returns an iterable of such values.
    """

    words: str
    is_right: Callable[[Any], bool]
    each: bool = False


def _is_texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_edge(value: Any) -> bool:
    kinds = ("made", "followed", "detail")
    return isinstance(value, Edge) and _is_texts(value.source, value.target, value.how) and value.kind in kinds


def _is_need(value: Any) -> bool:
    return isinstance(value, tuple) and list(map(type, value)) == [int, str]


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.match(value) is not None


def _is_holding(value: Any) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("find", "erase"))


def _is_diagnosis(value: Any) -> bool:
    levels = ("ok", "warning", "error")
    return isinstance(value, Diagnosis) and value.level in levels and _is_texts(value.message, value.hint)


def _is_facts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(fact, Fact) and isinstance(fact.event, str) for name, fact in value.items()
    )


def _is_artifact(value: Any) -> bool:
    return isinstance(value, Artifact) and value.kind in get_args(ArtifactKind) and _is_texts(value.ref)


def _is_held(value: Any) -> bool:
    return isinstance(value, Held) and _is_counted(value.recorded) and _is_counted(value.shown)


def _is_counted(table: Any) -> bool:
    if not isinstance(table, dict) or not _is_texts(*table):
        return False
    if any(isinstance(value, bool) or not isinstance(value, int | list | dict) for value in table.values()):
        return False
    try:
        canonical.encode(table)
    except (TypeError, ValueError, MlopsfwError):
        return False  # the ledger could not record it
    return True


_EDGES = Answer("an Edge of texts", _is_edge, each=True)
_HELD = Answer("a Held of counts, lists and tables of JSON values", _is_held)
ANSWERS: Mapping[str, Answer] = {
    "edges": _EDGES,
    "references.edges": _EDGES,
    "references.exact": Answer("a str", lambda value: isinstance(value, str)),
    "references.artifact": Answer("an Artifact", _is_artifact),
    "references.facts": Answer("a mapping of str to Fact", _is_facts),
    "needs": Answer("a pair of a version (int) and a reason (str)", _is_need, each=True),
    "released": Answer("the digest of a blob", _is_digest, each=True),
    "tables": Answer("the name of a table (str)", lambda value: isinstance(value, str), each=True),
    "holdings": Answer("an object with the methods find and erase", _is_holding, each=True),
    "find": _HELD,
    "erase": _HELD,
    "checks.ask": Answer("a Diagnosis", _is_diagnosis, each=True),
}
"""Function of a component → what it may return."""


def checked(call: Callable[..., Any], claim: Claim, function: str, where: str) -> Callable[..., Any]:
    """Return `call` behind the border, with its answer checked.

    Args:
        call: A function of the plugin's.
        claim: The plugin.
        function: Which one: a key of `ANSWERS`.
        where: What errors call it.
    """
    answer, guarded = ANSWERS[function], watched(call, claim, where)

    @wraps(call)
    def ask(*args: Any, **kwargs: Any) -> Any:
        with blaming(claim, where):
            return _right(guarded(*args, **kwargs), answer, claim, function)

    return ask


def _right(result: Any, answer: Answer, claim: Claim, function: str) -> Any:
    """Return the answer, as a tuple where it is an iterable; raise `PluginError` where it is another than promised."""
    if not answer.each:
        if answer.is_right(result):
            return result
        raise _wrong(claim, f"{function} returned {_described(result)}, not {answer.words}")
    if isinstance(result, str | bytes | Mapping) or not isinstance(result, Iterable):
        raise _wrong(claim, f"{function} returned {_described(result)}, not an iterable: each item is {answer.words}")
    items = tuple(result)
    for item in items:
        if not answer.is_right(item):
            raise _wrong(claim, f"{function} returned {_described(item)} as an item, not {answer.words}")
    return items


def _wrong(claim: Claim, text: str) -> PluginError:
    return PluginError(f"{claim.key}: {text}", hint=f"Repair {claim}, or run `mlopsfw plugins disable {claim.key}`.")


def _described(value: Any) -> str:
    """Return what a value is, and never what it says: that may be a subject's."""
    if value is None:
        return "None"
    name, fields = type(value).__name__, getattr(value, "__dataclass_fields__", ())
    inner = value if isinstance(value, tuple) else [getattr(value, field) for field in fields]
    kinds = ", ".join(type(each).__name__ for each in inner)
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}{f' ({kinds})' if kinds else ''}"
