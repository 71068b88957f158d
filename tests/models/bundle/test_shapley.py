"""Sampled Shapley values add up to the answer, are exact where inputs do not interact, and give nothing to an input that is not used."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from mlopsfw.errors import UsageError
from mlopsfw.models.bundle import shapley
from mlopsfw.models.bundle.shapley import Sampled
from mlopsfw.roles import Manifest, OutputColumn, SignatureColumn

NAMES = ("x", "y", "z", "image")


def manifest(task="regression", names=NAMES, **image):
    kinds = {"image": {"type": "tensor", "dtype": "float32", "shape": (2,), **image}}
    return Manifest(
        task=task,
        target="t",
        inputs=tuple(SignatureColumn(name=name, **kinds.get(name, {"type": "number"})) for name in names),
        outputs=(OutputColumn(name="out", type="tensor" if task == "multiclass" else "number"),),
        classes={"binary": (0, 1), "multiclass": (0, 1, 2)}.get(task, ()),
        formats={},
        files={},
    )


def draw(rows, seed=0):
    made = np.random.default_rng(seed)
    return {name: made.normal(size=(rows, 2) if name == "image" else rows) for name in NAMES}


def entangled(columns):
    return {"out": columns["x"] * columns["y"] + columns["x"] + 3 * columns["image"][:, 0]}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_values_of_any_model_add_up_to_its_answer(task):
    def answers(columns):
        total = entangled(columns)["out"]
        p = 1 / (1 + np.exp(-total))
        return {"out": {"binary": p, "multiclass": np.stack([p / 2, p / 2, 1 - p], 1), "regression": total}[task]}

    rows = draw(7, seed=1)
    values = Sampled(manifest(task), answers, draw(32)).explain(rows)
    total, expected = sum(values.values()), answers(rows)["out"]
    linked = {"binary": lambda: 1 / (1 + np.exp(-total)), "multiclass": lambda: np.exp(total)}
    assert linked.get(task, lambda: total)() == pytest.approx(expected, abs=1e-9)
    assert list(values) == ["", *NAMES]
    assert not values["z"].any()
    assert not np.ptp(values[""], axis=0).any()


def test_they_are_exact_where_inputs_do_not_interact():
    background, rows = draw(32), draw(5, seed=1)
    values = Sampled(manifest(), lambda c: {"out": 2 * c["x"] - c["y"] ** 3}, background).explain(rows)
    assert values["x"] == pytest.approx(2 * (rows["x"] - background["x"].mean()))
    assert values["y"] == pytest.approx((background["y"] ** 3).mean() - rows["y"] ** 3)


def test_with_one_background_row_interactions_of_two_inputs_are_shared_as_over_all_orders():
    def pairs(c):
        return {"out": c["x"] * c["y"] + c["y"] * c["z"] + c["x"] * c["z"] * 2}

    alike = {name: np.zeros((32, 2) if name == "image" else 32) for name in NAMES}
    row = {"x": [1.0], "y": [2.0], "z": [3.0], "image": [[4.0, 0.0]]}
    rows = {name: np.array(each) for name, each in row.items()}
    values = Sampled(manifest(), pairs, alike).explain(rows)

    def added(order):
        at, last, parts = {name: each[:1] * 0 for name, each in rows.items()}, 0.0, {}
        for name in order:
            at[name] = rows[name]
            now = pairs(at)["out"][0]
            parts[name], last = now - last, now
        return parts

    every = [added(order) for order in permutations(NAMES)]
    for name in NAMES:
        assert values[name][0] == pytest.approx(np.mean([each[name] for each in every]))


def test_the_model_is_asked_about_a_bounded_number_of_rows_at_once_and_the_values_are_the_same(monkeypatch):
    sizes = []

    def answers(columns):
        sizes.append(len(columns["x"]))
        return entangled(columns)

    whole = Sampled(manifest(), answers, draw(32)).explain(draw(9))
    monkeypatch.setattr(shapley, "_AT_ONCE", 200)
    sizes.clear()
    parts = Sampled(manifest(), answers, draw(32)).explain(draw(9))
    assert max(sizes) <= 200
    for name, values in whole.items():
        assert parts[name] == pytest.approx(values, abs=1e-12)


def test_a_certain_answer_has_finite_values():
    values = Sampled(manifest("binary"), lambda c: {"out": (c["x"] > 0) * 1.0}, draw(32)).explain(draw(9, seed=2))
    assert all(np.isfinite(each).all() for each in values.values())


@pytest.mark.parametrize(
    ("wrong", "said"), [(manifest("ranking"), "task 'ranking'"), (manifest(shape=(None,)), "'image' has a side")]
)
def test_what_cannot_be_explained_is_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        Sampled(wrong, entangled, draw(32))


@pytest.mark.parametrize(("inputs", "asked"), [(100, 32 * 99), (200, 8 * 199), (1000, 2 * 999)])
def test_many_inputs_have_fewer_orders_and_still_add_up(inputs, asked):
    names = [f"x{number}" for number in range(inputs)]
    made, sizes = np.random.default_rng(0), []

    def answers(columns):
        sizes.append(len(columns["x0"]))
        return {"out": sum(columns.values())}

    sampled = Sampled(manifest(names=names), answers, {name: made.normal(size=32) for name in names})
    row = {name: made.normal(size=1) for name in names}
    sizes.clear()
    values = sampled.explain(row)
    assert max(sizes) == asked
    assert sum(values.values()) == pytest.approx(answers(row)["out"])
