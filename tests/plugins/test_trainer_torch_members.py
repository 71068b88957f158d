"""The trainer `torch`: its members, and the rows that it holds out by itself."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest
import torch

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.testing.trainer import Context, digests, training_rows, training_task
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.losses import loss_of
from mlopsfw_trainer_torch.rows import Rows, held_out
from mlopsfw_trainer_torch.tabm import MemberNetwork, mean_logits
from mlopsfw_trainer_torch.trainer import TorchTrainer

QUICK = TorchConfig(epochs=4, batch_size=64, learning_rate=5e-3, hidden=(16,), members=4)
OUTPUTS = {"binary": 1, "multiclass": 3, "regression": 1}


def fit(tmp_path, rows, task=None, valid=None, **config):
    context = Context.under(tmp_path, f"fit-{len(list(tmp_path.iterdir()))}")
    handle = None if valid is None else TableHandle.of(valid)
    trainer = TorchTrainer(msgspec.structs.replace(QUICK, **config))
    return trainer.fit(task or training_task("binary"), TableHandle.of(rows), handle, context)


def probabilities(logits, kind):
    match kind:
        case "binary":
            return torch.sigmoid(logits)
        case "multiclass":
            return torch.softmax(logits, dim=-1)
    return logits


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_members_answer_with_their_mean_probability_or_value(kind, spread):
    logits = torch.randn(5, 40, OUTPUTS[kind], generator=torch.Generator().manual_seed(0)) * spread
    answer = probabilities(mean_logits(logits, kind), kind)
    assert torch.allclose(answer, probabilities(logits, kind).mean(0), atol=1e-6)


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_members_is_the_mean_of_each_members_loss(kind, weighted):
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 30, OUTPUTS[kind], generator=draw)
    target = torch.randint(0, 2, (30,), generator=draw)
    target = target if kind == "multiclass" else target.to(torch.float32)[:, None]
    weight = torch.rand(30, generator=draw) if weighted else None
    loss = loss_of(kind)
    each = torch.stack([loss(member, target, weight) for member in logits])
    assert torch.allclose(loss(logits, target, weight), each.mean())


def test_a_column_reaches_its_own_values_only_and_members_answer_differently():
    torch.manual_seed(0)
    network = MemberNetwork(
        sources=("a", "a", "a", "b", "c", "c"), code_counts=(4,), embedding=2, hidden=(8,), dropout=0.0, outputs=1, members=3
    )  # fmt: skip
    reached = (network.number_weights != 0).reshape(6, 3, -1).any(dim=2)
    assert reached.tolist() == [[True, False, False]] * 3 + [[False, True, False]] + [[False, False, True]] * 2
    answers = network(torch.randn(7, 6), torch.zeros(7, 1, dtype=torch.int64))
    assert answers.shape == (3, 7, 1)
    assert not torch.allclose(answers[0], answers[1])


@pytest.mark.parametrize("network", ["tabm", "mlp"])
def test_both_networks_learn_the_same_table(tmp_path, network):
    model = fit(tmp_path, training_rows(1200), network=network, epochs=12)
    assert model.metrics["holdout_auc"] > 0.9
    assert model.facts["export_difference"] <= 1e-5
    assert model.facts["settings"]["network"] == network


# -- rows that are held out ----------------------------------------------------------------------------------------------


def numbered(rows):
    values = torch.arange(rows, dtype=torch.float32)[:, None]
    return Rows((values, torch.empty(rows, 0, dtype=torch.int64)), values, None)


def test_rows_held_out_are_a_part_of_the_training_rows_and_follow_the_seed():
    learned, held = held_out(numbered(100), None, 15, seed=3)
    assert len(held) == 15
    assert sorted([*learned.inputs[0][:, 0].tolist(), *held.inputs[0][:, 0].tolist()]) == list(range(100))
    again, other = (held_out(numbered(100), None, 15, seed)[1] for seed in (3, 4))
    assert torch.equal(again.inputs[0], held.inputs[0])
    assert not torch.equal(other.inputs[0], held.inputs[0])


def test_the_latest_rows_are_held_out_where_rows_have_a_time():
    times = pl.Series(np.random.default_rng(0).permutation(50)).cast(pl.Datetime("us"))
    times = pl.select(pl.when(times.to_physical() == 7).then(None).otherwise(times)).to_series()
    learned, held = held_out(numbered(50), times, 10, seed=0)
    physical = times.to_physical()
    assert sorted(physical[held.inputs[0][:, 0].to(torch.int64).tolist()].to_list()) == list(range(40, 50))
    assert len(learned) == 40


@pytest.mark.parametrize(
    ("more", "held"), [({}, 60), ({"holdout": 0.5}, 200), ({"holdout": 0.0}, 0), ({"patience": 0}, 0)]
)
def test_rows_are_held_out_only_to_stop_by(tmp_path, more, held):
    facts = fit(tmp_path, training_rows(400), **more).facts
    assert (facts["rows"], facts["validation_rows"], facts["held_out"]) == (400 - held, held, held > 0)


def test_connected_validation_rows_leave_all_training_rows_to_learn_from(tmp_path):
    model = fit(tmp_path, training_rows(300), valid=training_rows(100, seed=1))
    assert (model.facts["rows"], model.facts["validation_rows"], model.facts["held_out"]) == (300, 100, False)
    assert "valid_auc" in model.metrics
    assert "holdout_auc" not in model.metrics


def test_the_label_of_a_row_without_weight_changes_nothing_where_it_is_held_out(tmp_path):
    rows = training_rows(300).with_columns(weight=pl.when(pl.int_range(pl.len()) % 3 == 0).then(0.0).otherwise(1.0))
    flipped = rows.with_columns(binary=pl.when(pl.col("weight") == 0).then(~pl.col("binary")).otherwise("binary"))
    task = training_task("binary", weight="weight")
    first, second = (fit(tmp_path, each, task) for each in (rows, flipped))
    assert digests(first) == digests(second)


def test_the_column_of_time_orders_the_rows_held_out_and_is_no_feature(tmp_path):
    rows = training_rows(400).sort("moment")
    task = training_task("binary", time="moment")
    model = fit(tmp_path, rows.sample(fraction=1, shuffle=True, seed=1), task)
    assert "moment" not in {column.name for column in model.inputs}
    assert model.facts["held_out"]
