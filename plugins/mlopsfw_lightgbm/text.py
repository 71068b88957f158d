"""LightGBM's text files: checked before LightGBM reads them, because its parser and its predictions look at no bounds.

What is not known here is refused. LightGBM gets a text of the checked lines alone: without `tree_sizes`, by which it would
find the trees elsewhere than the check did, and without the parameters of the training.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import NamedTuple

import msgspec

_NUMBER = r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_NUMBERS, _INTEGERS = re.compile(f"{_NUMBER}(?: {_NUMBER})*"), re.compile(r"-?\d{1,10}(?: -?\d{1,10})*")
_THRESHOLDS = re.compile(f"(?:{_NUMBER}|-?inf)(?: (?:{_NUMBER}|-?inf))*")
_STATISTICS = re.compile(rf"(?:(?:{_NUMBER}|-?inf|-?nan)(?: |$))*")
_WORDS = re.compile(r"[!-~]+(?: [!-~]+)*")
_PLAIN = "regression regression_l1 quantile huber fair poisson binary cross_entropy cross_entropy_lambda mape gamma tweedie custom"
_OBJECTIVE = re.compile(rf"(?:{_PLAIN.replace(' ', '|')})(?: sqrt| (?!num_class:)[a-z_]+:{_NUMBER})*")
_HEADER = frozenset(
    {
        "version",
        "num_class",
        "num_tree_per_iteration",
        "label_index",
        "max_feature_idx",
        "objective",
        "feature_names",
        "feature_infos",
    }
)
_UNUSED = frozenset({"tree_sizes", "monotone_constraints"})
_NODES = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_FACTS = {
    "split_gain": 1,
    "internal_value": 1,
    "internal_weight": 1,
    "internal_count": 1,
    "leaf_weight": 0,
    "leaf_count": 0,
}
_TREE = frozenset(
    {
        "num_leaves",
        "num_cat",
        "leaf_value",
        "is_linear",
        "shrinkage",
        "cat_boundaries",
        "cat_threshold",
        *_NODES,
        *_FACTS,
    }
)
_CATEGORICAL, _MISSING, _DECISIONS = 1, 3 << 2, 1 << 4


class _Node(NamedTuple):
    feature: int
    threshold: float
    decision: int
    children: tuple[int, int]


def checked_text(text: str) -> str:
    """Return the header and the trees of a model's text. Raise `ValueError` for what LightGBM could not read safely."""
    trees, end, _ = text.partition("\nend of trees\n")
    if not end:
        raise ValueError("it has no end of trees")
    header, *blocks = re.split(r"\n+(?=Tree=)", trees)
    lines = header.rstrip("\n").split("\n")
    if lines.pop(0) != "tree":
        raise ValueError("it does not begin with `tree`")
    average = [line for line in lines if line == "average_output"]
    known = _pairs([line for line in lines if line not in average], _HEADER | _UNUSED, "the header")
    features, width = _check_header(known)
    for at, block in enumerate(blocks):
        first, *rest = block.rstrip("\n").split("\n")
        if first != f"Tree={at}":
            raise ValueError(f"tree {at} has another number")
        _check_tree(_pairs(rest, _TREE, f"tree {at}"), features, f"tree {at}")
    if len(blocks) % width:
        raise ValueError(f"its {len(blocks)} trees are no multiple of num_tree_per_iteration={width}")
    kept = [f"{key}={value}" for key, value in known.items() if key not in _UNUSED]
    whole = ["\n".join(["tree", *kept, *average[:1]]), *(block.rstrip("\n") + "\n" for block in blocks)]
    return "\n\n".join(whole) + "\n\nend of trees\n"


def objective_of(text: str) -> str:
    """Return the name of the objective that a checked text was trained for; empty for none."""
    match = re.search(r"^objective=(\S+)", text, re.MULTILINE)
    return match[1] if match else ""


def categories_of(text: str) -> dict[str, list[str | int]]:
    """Return column → its categories by code, as pandas had them at the training of a checked text; none without pandas."""
    kept = re.search(r"^pandas_categorical:(\[.*\])$", text, re.MULTILINE)
    names, infos = (re.search(rf"^feature_{each}=(.*)$", text, re.MULTILINE) for each in ("names", "infos"))
    if not (kept and names and infos):
        return {}
    pairs = zip(names[1].split(" "), infos[1].split(" "), strict=True)
    columns = [name for name, info in pairs if info != "none" and not info.startswith("[")]
    try:
        lists = msgspec.json.decode(kept[1], type=list[list[str | int]])
    except msgspec.DecodeError as error:
        raise ValueError(f"pandas_categorical holds no texts or numbers: {error}") from None
    return dict(zip(columns, lists, strict=True)) if len(lists) == len(columns) else {}


def _pairs(lines: list[str], keys: frozenset[str], place: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or key not in keys or key in pairs:
            raise ValueError(f"{place} has the line {line[:40]!r}, which is unknown or stands twice")
        pairs[key] = value
    return pairs


def _check_header(header: dict[str, str]) -> tuple[int, int]:
    """Return how many features there are, and how many trees per iteration."""
    if header.get("version") != "v4":
        raise ValueError("it has no version=v4")
    _integers(header, "label_index", 1, "the header")
    (last,) = _integers(header, "max_feature_idx", 1, "the header")
    (classes,) = _integers(header, "num_class", 1, "the header")
    (width,) = _integers(header, "num_tree_per_iteration", 1, "the header")
    if last < 0 or classes < 1 or classes != width:
        raise ValueError("num_class, num_tree_per_iteration and max_feature_idx disagree")
    for key in ("feature_names", "feature_infos"):
        value = header.get(key, "")
        if not _WORDS.fullmatch(value) or value.count(" ") != last:
            raise ValueError(f"{key} does not hold {last + 1} features")
    objective = header.get("objective", "custom")
    several = re.fullmatch(rf"multiclass(?:ova)? num_class:{classes}(?: sigmoid:{_NUMBER})?", objective)
    if not several and not _OBJECTIVE.fullmatch(objective):
        raise ValueError(f"its objective is {objective[:40]!r}, which is unknown or has another num_class")
    return last + 1, width


def _check_tree(tree: dict[str, str], features: int, place: str) -> None:
    (leaves,) = _integers(tree, "num_leaves", 1, place)
    (categories,) = _integers(tree, "num_cat", 1, place)
    if tree.get("is_linear", "0") != "0":
        raise ValueError(f"{place} is linear, which is not supported")
    if leaves < 1 or categories < 0:
        raise ValueError(f"{place} has num_leaves={leaves} and num_cat={categories}")
    _numbers(tree, "leaf_value", leaves, place)
    _numbers({"shrinkage": "1"} | tree, "shrinkage", 1, place)
    for key, fewer in _FACTS.items():
        value = tree.get(key, "")
        lengths = {leaves - fewer, 0} if leaves == 1 or key not in tree else {leaves - fewer}
        if not _STATISTICS.fullmatch(value) or len(value.split()) not in lengths:
            raise ValueError(f"{place}: {key} does not hold {leaves - fewer} numbers")
    nodes = _nodes(tree, leaves - 1, place)
    _check_shape(nodes, leaves, place)
    _check_categories(tree, categories, place)
    for node in nodes:
        if not 0 <= node.feature < features:
            raise ValueError(f"{place} splits feature {node.feature}, but the model has {features}")
        if not 0 <= node.decision < _DECISIONS or node.decision & _MISSING == _MISSING:
            raise ValueError(f"{place} has the decision_type {node.decision}, which is unknown")
        if node.decision & _CATEGORICAL and node.threshold not in range(categories):
            raise ValueError(f"{place} splits by set {node.threshold} of categories, but has {categories}")


def _nodes(tree: dict[str, str], count: int, place: str) -> list[_Node]:
    left, right = (_integers(tree, key, count, place) for key in ("left_child", "right_child"))
    columns = (
        _integers(tree, "split_feature", count, place),
        [
            float(each) for each in _split(tree, "threshold", count, place, _THRESHOLDS)
        ],  # between the largest and infinity: inf
        _integers(tree, "decision_type", count, place),
        zip(left, right, strict=True),
    )
    return [_Node(*values) for values in zip(*columns, strict=True)]


def _check_shape(nodes: list[_Node], leaves: int, place: str) -> None:
    """Check that the root reaches each node and each leaf exactly once. A leaf stands as its complement."""
    if not nodes:
        return
    waiting, reached = [0], {0}
    while waiting:
        for child in nodes[waiting.pop()].children:
            if not -leaves <= child < len(nodes) or child in reached:
                raise ValueError(f"{place} has the child {child}, which is outside of it or reached twice")
            reached.add(child)
            if child >= 0:
                waiting.append(child)
    if len(reached) != len(nodes) + leaves:
        raise ValueError(f"{place} has nodes that its root does not reach")


def _check_categories(tree: dict[str, str], count: int, place: str) -> None:
    if not count:
        if "cat_boundaries" in tree or "cat_threshold" in tree:
            raise ValueError(f"{place} has sets of categories, but num_cat=0")
        return
    bounds = _integers(tree, "cat_boundaries", count + 1, place)
    if bounds[0] != 0 or any(first > second for first, second in pairwise(bounds)):
        raise ValueError(f"{place}: cat_boundaries do not ascend from 0")
    if any(not 0 <= word < 1 << 32 for word in _integers(tree, "cat_threshold", bounds[-1], place)):
        raise ValueError(f"{place}: cat_threshold holds more than 32 bits")


def _integers(pairs: dict[str, str], key: str, count: int, place: str) -> list[int]:
    return [int(each) for each in _split(pairs, key, count, place, _INTEGERS)]


def _numbers(pairs: dict[str, str], key: str, count: int, place: str) -> list[float]:
    numbers = [float(each) for each in _split(pairs, key, count, place, _NUMBERS)]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{place}: {key} holds a number that is not finite")
    return numbers


def _split(pairs: dict[str, str], key: str, count: int, place: str, pattern: re.Pattern[str]) -> list[str]:
    value = pairs.get(key)
    if value == "" and not count:
        return []
    if value is None or not pattern.fullmatch(value) or value.count(" ") + 1 != count:
        raise ValueError(f"{place}: {key} does not hold {count} finite numbers")
    return value.split(" ")
