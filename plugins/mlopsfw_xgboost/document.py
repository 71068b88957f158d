"""XGBoost's JSON documents: checked, and written anew, before XGBoost reads them. Its predictions look at no bounds.

What is not known here is refused, and XGBoost gets a document of the checked parts alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

OBJECTIVES = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
QUANTILE = "reg:quantileerror"
"""The objective of the trees beside those of a regression, each of which answers one quantile."""

GENERIC = "f{}"
"""What XGBoost calls the columns of a matrix without names."""
_MAJOR = 3
_MOST = 100_000  # columns, and classes: the file of a model can claim more than fit into memory
_MOST_BITS = 1 << 31  # of all sets of categories together: XGBoost holds one bit for each category up to a set's last
_NODES = ("left_children", "right_children", "split_indices", "split_conditions", "default_left", "split_type")
_FACTS = ("base_weights", "sum_hessian", "loss_changes")
_SETS = ("categories_nodes", "categories_segments", "categories_sizes")

_Flag = Annotated[int, msgspec.Meta(ge=0, le=1)]
_Index = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class _TreeParam(msgspec.Struct, frozen=True):
    num_nodes: str
    num_deleted: str = "0"
    size_leaf_vector: str = "1"


class _Tree(msgspec.Struct, frozen=True):
    """A tree. A node without children is a leaf, and its `split_conditions` is the leaf's value."""

    tree_param: _TreeParam
    left_children: list[int]
    right_children: list[int]
    split_indices: list[_Index]
    split_conditions: list[float]
    default_left: list[_Flag]
    split_type: list[_Flag]
    base_weights: list[float]
    sum_hessian: list[float]
    loss_changes: list[float]
    categories: list[_Index] = []
    categories_nodes: list[_Index] = []
    categories_segments: list[_Index] = []
    categories_sizes: list[_Index] = []


class _Param(msgspec.Struct, frozen=True):
    num_parallel_tree: str = "1"


class _Trees(msgspec.Struct, frozen=True):
    trees: list[_Tree]
    gbtree_model_param: _Param = _Param()


class _Booster(msgspec.Struct, frozen=True):
    name: str
    model: _Trees


class _Model(msgspec.Struct, frozen=True):
    base_score: str
    num_class: str
    num_feature: str
    num_target: str = "1"


class _Objective(msgspec.Struct, frozen=True):
    name: str


class _Learner(msgspec.Struct, frozen=True):
    gradient_booster: _Booster
    learner_model_param: _Model
    objective: _Objective


class _Document(msgspec.Struct, frozen=True):
    learner: _Learner
    version: tuple[int, int, int]


def checked_document(data: bytes, objective: str, classes: int) -> tuple[bytes, int]:
    """Return the document of checked parts, and how many columns its trees read.

    Args:
        data: The file's content.
        objective: What it must have been trained for: that of a task, or `QUANTILE`.
        classes: How many classes it tells apart; 0 for numbers.

    Raises:
        ValueError: XGBoost could not read it safely, or it has another objective.
    """
    document = msgspec.json.decode(data, type=_Document)
    learner, booster = document.learner, document.learner.gradient_booster
    several = classes if objective == OBJECTIVES["multiclass"] else 0
    width = several or 1
    if document.version[0] != _MAJOR:
        raise ValueError(f"its version is {document.version[0]}, not {_MAJOR}")
    if booster.name != "gbtree" or booster.model.gbtree_model_param.num_parallel_tree != "1":
        raise ValueError("it is no sequence of trees: its booster must be gbtree, with one tree a round and class")
    if learner.objective.name != objective:
        raise ValueError(f"its objective is {learner.objective.name[:40]!r}, and the bundle needs {objective!r}")
    param = learner.learner_model_param
    columns = _whole(param.num_feature, "num_feature")
    if param.num_target != "1" or _whole(param.num_class, "num_class") != several:
        raise ValueError("num_class or num_target is that of another task")
    trees = booster.model.trees
    if len(trees) % width:
        raise ValueError(f"its {len(trees)} trees are no multiple of its {width} classes")
    bits = sum(_check_tree(tree, columns, f"tree {at}") for at, tree in enumerate(trees))
    if bits > _MOST_BITS:
        raise ValueError("its sets of categories need too much memory")
    return msgspec.json.encode(_written(document, width, columns)), columns


class Description(msgspec.Struct, frozen=True):
    """What a document says of its model.

    Args:
        task: What it was trained for.
        columns: The columns that it reads; `f0`, `f1` and so on where they have no names.
        classes: How many classes a multiclass model tells apart; 0 for others.
    """

    task: str
    columns: tuple[str, ...]
    classes: int


class _Named(msgspec.Struct, frozen=True):
    learner_model_param: _Model
    objective: _Objective
    feature_names: tuple[str, ...] = ()
    feature_types: tuple[str, ...] = ()


class _Header(msgspec.Struct, frozen=True):
    learner: _Named


def described(data: bytes) -> Description:
    """Return what a document says of its model. Raise `ValueError` for an objective or columns that no runtime here has."""
    learner = msgspec.json.decode(data, type=_Header).learner
    tasks = {objective: task for task, objective in OBJECTIVES.items()}
    if learner.objective.name not in tasks:
        raise ValueError(f"its objective is {learner.objective.name[:40]!r}, not one of {', '.join(tasks)}")
    if "c" in learner.feature_types:
        raise ValueError("it has columns of categories, whose codes the file does not explain; export it as ONNX")
    count, classes = (_whole(getattr(learner.learner_model_param, name), name) for name in ("num_feature", "num_class"))
    if max(count, classes) > _MOST:
        raise ValueError(f"it has more than {_MOST:,} columns or classes")
    names = learner.feature_names or tuple(map(GENERIC.format, range(count)))
    if len(names) != count:
        raise ValueError(f"it names {len(names)} of its {count} columns")
    return Description(tasks[learner.objective.name], names, classes)


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004 - fits into 32 bits
        raise ValueError(f"{name} is no number")
    return int(text)


def _check_tree(tree: _Tree, columns: int, place: str) -> int:
    """Check one tree, and return how many bits its sets of categories take."""
    count = _whole(tree.tree_param.num_nodes, f"{place}: num_nodes")
    if not count or tree.tree_param.num_deleted != "0" or tree.tree_param.size_leaf_vector not in ("0", "1"):
        raise ValueError(f"{place} has no nodes, deleted nodes or leaves of several values")
    for name in (*_NODES, *_FACTS):
        if len(getattr(tree, name)) != count:
            raise ValueError(f"{place}: {name} does not hold {count} values")
    inner = _inner_nodes(tree, count, place)
    for node in inner:
        if tree.split_indices[node] >= columns:
            raise ValueError(f"{place} splits column {tree.split_indices[node]}, but the model has {columns}")
    return _check_sets(tree, [node for node in inner if tree.split_type[node]], place)


def _inner_nodes(tree: _Tree, count: int, place: str) -> list[int]:
    """Return the nodes that have children. The root must reach every node exactly once."""
    waiting, reached, inner = [0], {0}, []
    while waiting:
        node = waiting.pop()
        children = tree.left_children[node], tree.right_children[node]
        if children == (-1, -1):
            continue
        inner.append(node)
        for child in children:
            if not 0 < child < count or child in reached:
                raise ValueError(f"{place} has the child {child}, which is outside of it or reached twice")
            reached.add(child)
            waiting.append(child)
    if len(reached) != count:
        raise ValueError(f"{place} has nodes that its root does not reach")
    return sorted(inner)


def _check_sets(tree: _Tree, nodes: Sequence[int], place: str) -> int:
    if tree.categories_nodes != nodes or any(len(getattr(tree, name)) != len(nodes) for name in _SETS):
        raise ValueError(f"{place}: categories_nodes are not the nodes that split by categories")
    bits, end = 0, 0
    for start, size in zip(tree.categories_segments, tree.categories_sizes, strict=True):
        if start != end or not size:
            raise ValueError(f"{place}: its sets of categories do not follow one another")
        end = start + size
        bits += max(tree.categories[start:end], default=-1) + 1
    if end != len(tree.categories):
        raise ValueError(f"{place}: its sets of categories do not end where the categories do")
    return bits


def _written(document: _Document, width: int, columns: int) -> dict[str, Any]:
    learner = document.learner
    name, param = learner.objective.name, learner.learner_model_param
    kinds = {
        "multi:softprob": {"softmax_multiclass_param": {"num_class": str(width)}},
        QUANTILE: {"quantile_loss_param": {"quantile_alpha": "[0.5]"}},  # no prediction depends on it
    }
    return {
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {
                "model": _written_trees(learner.gradient_booster.model.trees, width, columns),
                "name": "gbtree",
            },
            "learner_model_param": {
                "base_score": _scores(param.base_score, width),
                "boost_from_average": "1",
                "num_class": param.num_class,
                "num_feature": param.num_feature,
                "num_target": "1",
            },
            "objective": {"name": name, **kinds.get(name, {"reg_loss_param": {"scale_pos_weight": "1"}})},
        },
        "version": document.version,
    }


def _scores(text: str, width: int) -> str:
    """Return the score that the trees start from, one a class: `[5E-1]`."""
    scores = [float(each) for each in text.removeprefix("[").removesuffix("]").split(",")]
    if len(scores) != width or not all(map(math.isfinite, scores)):
        raise ValueError(f"base_score does not hold {width} finite numbers")
    return f"[{','.join(map(repr, scores))}]"


def _written_trees(trees: Sequence[_Tree], width: int, columns: int) -> dict[str, Any]:
    return {
        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(0, len(trees) + 1, width)),
        "tree_info": [at % width for at in range(len(trees))],
        "trees": [_written_tree(tree, at, columns) for at, tree in enumerate(trees)],
    }


def _written_tree(tree: _Tree, at: int, columns: int) -> dict[str, Any]:
    count = len(tree.left_children)
    parents = [(1 << 31) - 1] * count
    for node in range(count):
        for child in (tree.left_children[node], tree.right_children[node]):
            if child > 0:
                parents[child] = node
    param = {
        "num_deleted": "0",
        "num_feature": str(columns),
        "num_nodes": str(count),
        "size_leaf_vector": tree.tree_param.size_leaf_vector,
    }
    kept = {name: getattr(tree, name) for name in (*_NODES, *_FACTS, "categories", *_SETS)}
    return {**kept, "id": at, "parents": parents, "tree_param": param}
