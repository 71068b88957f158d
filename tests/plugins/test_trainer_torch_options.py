"""The trainer `torch`: accumulation, clipping, schedulers, averaged weights, compilation, mixed precision, and too little memory."""

from __future__ import annotations

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import PluginError
from mlopsfw.testing.trainer import Context, Stopped, digests, training_rows, training_task
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.loop import Training
from mlopsfw_trainer_torch.trainer import TorchTrainer

PLAIN = TorchConfig(epochs=3, batch_size=64, learning_rate=5e-3, hidden=(16,), members=4, dropout=0.0)


def fit(tmp_path, name, context=None, **config):
    context = context or Context.under(tmp_path, name)
    task = training_task("binary", features=("number", "color"))
    trainer = TorchTrainer(msgspec.structs.replace(PLAIN, **config))
    return trainer.fit(task, TableHandle.of(training_rows(300)), None, context), context


def weights(model):
    return torch.cat(
        [each.reshape(-1) for _, each in sorted(load_file(model.files["weights.safetensors"]).items())]
    ).to(torch.float64)


@pytest.fixture
def memory(monkeypatch):
    """Return a setter of the largest number of rows for which the memory suffices."""

    def hold(most):
        backward = Training._backward_of

        def small(self, rows, share):
            if len(rows) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return backward(self, rows, share)

        monkeypatch.setattr(Training, "_backward_of", small)

    return hold


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_batch_computed_in_parts_gives_the_same_model(tmp_path, class_weights):
    whole, _ = fit(tmp_path, "whole", class_weights=class_weights)
    parts, _ = fit(tmp_path, "parts", class_weights=class_weights, accumulate=4)
    assert torch.allclose(weights(whole), weights(parts), atol=1e-4)
    assert parts.metrics["train_log_loss"] == pytest.approx(whole.metrics["train_log_loss"], abs=1e-4)


def test_out_of_memory_halves_the_batch_once_says_so_and_gives_the_same_model(tmp_path, memory):
    whole, _ = fit(tmp_path, "whole")
    memory(32)
    halved, context = fit(tmp_path, "halved")
    assert torch.allclose(weights(whole), weights(halved), atol=1e-4)
    assert [value for name, value, _ in context.metrics if name == "batch_halved_at_step"] == [0.0]
    assert (whole.facts["batch_halved"], halved.facts["batch_halved"]) == (False, True)


def test_out_of_memory_a_second_time_is_an_error_that_names_the_batch(tmp_path, memory):
    memory(16)
    with pytest.raises(
        PluginError, match="batch_size = 64 does not fit into the memory of cpu, not even in 2 parts"
    ) as caught:
        fit(tmp_path, "small")
    assert "batch_size" in caught.value.hint


def test_another_error_of_torch_is_not_taken_for_too_little_memory(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Training, "_backward_of", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        fit(tmp_path, "broken")


def test_stopped_and_resumed_with_all_options_it_gives_the_very_same_model(tmp_path, memory):
    options = {"accumulate": 2, "clip": 0.5, "ema": 0.9, "scheduler": "linear", "dropout": 0.2, "checkpoint_every": 2}
    memory(16)
    whole, _ = fit(tmp_path, "whole", **options)
    stopping = Context.under(tmp_path, "stopped", "kept", stop_at=4)
    with pytest.raises(Stopped):
        fit(tmp_path, "", stopping, **options)
    again, context = fit(tmp_path, "", Context.under(tmp_path, "again", "kept"), **options)
    names = [name for name, _, _ in context.metrics]
    assert "resumed_at_step" in names
    assert "batch_halved_at_step" not in names
    assert digests(again) == digests(whole)


def test_clipping_bounds_what_a_step_changes(tmp_path):
    norms = []
    inner = torch.nn.utils.clip_grad_norm_

    def watched(parameters, most):
        norms.append(float(inner(parameters, most)))
        return norms[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.nn.utils.clip_grad_norm_", watched)
        plain, _ = fit(tmp_path, "plain")
        assert not norms
        clipped, _ = fit(tmp_path, "clipped", clip=1e-3)
    assert max(norms) > 1e-3
    assert not torch.equal(weights(plain), weights(clipped))


@pytest.mark.parametrize(("scheduler", "last"), [("cosine", 0.0), ("linear", 0.0), ("constant", 5e-3)])
def test_the_learning_rate_rises_then_follows_its_scheduler(tmp_path, monkeypatch, scheduler, last):
    rates = []
    inner = Training._learning_rate
    monkeypatch.setattr(Training, "_learning_rate", lambda self: rates.append(inner(self)) or rates[-1])
    fit(tmp_path, scheduler, scheduler=scheduler, warm_up=0.25, patience=0, epochs=8)
    assert len(rates) == 8 * 5
    assert rates[:10] == pytest.approx([5e-3 * step / 10 for step in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(last, abs=2e-4)


def test_an_average_of_the_weights_is_the_model_and_lies_among_the_weights_of_the_steps(tmp_path, monkeypatch):
    seen = []
    inner = Training._follow

    def watched(self):
        inner(self)
        seen.append(
            torch.cat([each.detach().reshape(-1).clone() for _, each in sorted(self.network.state_dict().items())])
        )

    monkeypatch.setattr(Training, "_follow", watched)
    model, _ = fit(tmp_path, "average", ema=0.99, patience=0, scheduler="constant")
    steps, average = torch.stack(seen).to(torch.float64), weights(model)
    assert not torch.equal(average, steps[-1])
    assert (average - steps.mean(0)).norm() < (steps[-1] - steps.mean(0)).norm()


def test_compile_trains_the_compiled_network(tmp_path, monkeypatch):
    compiled = []

    def compile_(network):
        compiled.append(network)
        return network

    monkeypatch.setattr(torch, "compile", compile_)
    fit(tmp_path, "plain")
    assert not compiled
    fit(tmp_path, "compiled", compile=True)
    assert len(compiled) == 1


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_a_network_that_torch_compiles_gives_the_same_model(tmp_path):
    plain, _ = fit(tmp_path, "plain")
    compiled, _ = fit(tmp_path, "compiled", compile=True)
    assert torch.allclose(weights(plain), weights(compiled), atol=1e-3)


def test_mixed_precision_learns_the_same_to_its_digits(tmp_path, monkeypatch):
    full, _ = fit(tmp_path, "full")
    monkeypatch.setattr("mlopsfw_trainer_torch.trainer.choose_mixed", lambda *_: True)
    mixed, _ = fit(tmp_path, "mixed")
    assert mixed.facts["precision"] == "mixed"
    assert not torch.equal(weights(full), weights(mixed))
    assert mixed.metrics["train_log_loss"] == pytest.approx(full.metrics["train_log_loss"], abs=0.02)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("options", [{}, {"precision": "mixed"}, {"ema": 0.9, "clip": 1.0, "accumulate": 2}])
def test_on_a_gpu_it_learns_what_it_learns_on_the_cpu(tmp_path, options):
    here, _ = fit(tmp_path, "cpu", device="cpu", **{**options, "precision": "full"})
    there, _ = fit(tmp_path, "cuda", device="cuda", **options)
    assert there.metrics["train_log_loss"] == pytest.approx(here.metrics["train_log_loss"], abs=0.05)
