"""Integrated gradients of a network add up to what it answers beyond the average row, and find the input that it uses."""

from __future__ import annotations

import pytest
import torch

from mlopsfw.roles import SignatureColumn
from mlopsfw_trainer_torch.attributions import integrated, module_attributions
from mlopsfw_trainer_torch.columns import Input
from mlopsfw_trainer_torch.module import UserNetwork
from mlopsfw_trainer_torch.network import TabularNetwork
from mlopsfw_trainer_torch.rows import Rows
from mlopsfw_trainer_torch.tabm import MemberNetwork, mean_logits

SHAPE = {"code_counts": (4, 3), "embedding": 2, "hidden": (16,), "dropout": 0.2}


def network(kind, outputs):
    torch.manual_seed(3)
    if kind == "mlp":
        made = TabularNetwork(numeric=3, outputs=outputs, **SHAPE)
    else:
        made = MemberNetwork(sources=("a", "a", "b"), outputs=outputs, members=4, **SHAPE)
    torch.nn.init.normal_(made.categories.table.weight)  # as if trained
    return made


def rows():
    draw = torch.Generator().manual_seed(5)
    return torch.randn(50, 3, generator=draw), torch.randint(0, 3, (50, 2), generator=draw)


@pytest.mark.parametrize("kind", ["mlp", "tabm"])
@pytest.mark.parametrize(("task", "outputs"), [("binary", 1), ("multiclass", 3), ("regression", 1)])
def test_the_attributions_of_a_row_add_up_to_its_answer_beyond_the_average_rows(kind, task, outputs):
    made, (numeric, codes) = network(kind, outputs), rows()
    numbers, coded = integrated(made, numeric, codes, task)
    assert made.training
    made.eval()
    with torch.no_grad():
        logits = mean_logits(made(numeric, codes), task)
        mean = made.categories(codes).mean(0, keepdim=True)
        hook = made.categories.register_forward_hook(lambda *_: mean)
        start = mean_logits(made(numeric.mean(0, keepdim=True), codes[:1]), task)
        hook.remove()
    chosen = logits.argmax(1, keepdim=True)
    beyond = (logits - start).gather(1, chosen)[:, 0]
    gap = (numbers.sum(1) + coded.sum(1) - beyond).abs()
    assert gap.mean() < 0.05 * beyond.abs().mean()


def test_an_input_without_weight_gets_nothing():
    made, (numeric, codes) = network("mlp", 1), rows()
    with torch.no_grad():
        for layer in (made.linear, made.hidden[0]):
            layer.weight[:, 1] = 0.0
    numbers, _ = integrated(made, numeric, codes, "binary")
    assert not numbers[:, 1].any()
    assert numbers[:, 0].abs().mean() > 0.01


class Product(torch.nn.Module):
    """Adds a vector's first number, times a learned factor, to an integer; changes what it gets."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, vector, spare, count):
        vector *= self.factor
        return vector[:, 0] + 0.0 * spare + count.to(torch.float32)


def test_a_users_module_is_explained_by_its_floats_and_says_which_inputs_are_none():
    draw = torch.Generator().manual_seed(1)
    tensors = (torch.randn(40, 3, generator=draw), torch.randn(40, generator=draw), torch.arange(40))
    inputs = [Input(SignatureColumn(name=name, type="number"), "float32", ()) for name in ("vector", "spare", "count")]
    network, before = UserNetwork(Product(), "nets:Product", 1), tensors[0].clone()
    found = module_attributions(network, inputs, Rows(tensors, torch.zeros(40, 1), None))
    assert found["attributions"]() == {"vector": 1.0, "spare": 0.0}
    assert found["attributions_without"] == ["count"]
    assert torch.equal(tensors[0], before)
    assert network.training
    whole = (tensors[2],)
    none = module_attributions(network, inputs[2:], Rows(whole, torch.zeros(40, 1), None))
    assert none == {"attributions_without": ["count"]}
