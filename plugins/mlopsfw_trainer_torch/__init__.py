"""Trainer `torch`: a neural network for tables, with encoded numbers and embedded categories. Imports torch when it is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mlopsfw.errors import MissingExtra
from mlopsfw.roles import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Trainer

_NEEDS = ("torch", "safetensors", "onnx", "onnxruntime")
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_NotNegative = Annotated[int, msgspec.Meta(ge=0)]
_Auto = Literal["auto"]
_Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class TorchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[trainer.torch]`.

    Args:
        network: `tabm` for members that share their layers and answer with their mean probability, `mlp` for a single network.
        members: Members of `tabm`. Training and the model's size grow with them.
        epochs: Passes over the training rows, at most; `auto` for at least 1,000 steps of the optimiser, from 10 to 400 epochs.
        batch_size: Rows in a step; `auto` for a sixteenth of the training rows as a power of two, from 32 to 1,024.
        learning_rate: The largest learning rate. It rises over the first twentieth of all steps, then falls to zero along a cosine.
        hidden: Widths of the hidden layers; none for a linear model.
        embedding: Width of each category's embedding.
        dropout: Share of activations dropped in training.
        weight_decay: The weight decay of AdamW.
        patience: Epochs without a better validation loss before it stops; 0 to use all epochs, `auto` for a quarter of them, at least 3.
        holdout: Share of the training rows that are held out to stop early, where no validation rows are connected: the latest where the
            rows have an event time. 0, or `patience = 0`, to learn from all.
        class_weights: `balanced` weighs rows so that all classes have the same total weight.
        device: `cuda` fails on a machine without a GPU; `auto` uses the CPU there. The model's facts name the device.
        precision: `mixed` computes in bfloat16 where that is safe, on CUDA only; `auto` does so if the device can.
        threads: Threads on the CPU; 0 for torch's own choice. Small networks gain little from more than one, lose much where
            cores are shared, and come out otherwise for every number of threads.
        checkpoint_every: Steps between checkpoints; 0 for one at the end of an epoch if the last is two seconds old.
    """

    network: Literal["tabm", "mlp"] = "tabm"
    members: _Positive = 8
    epochs: _Positive | _Auto = "auto"
    batch_size: _Positive | _Auto = "auto"
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-2
    hidden: tuple[_Positive, ...] = (128, 64)
    embedding: _Positive = 8
    dropout: _Share = 0.05
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 3e-4
    patience: _NotNegative | _Auto = "auto"
    holdout: _Share = 0.15
    class_weights: Literal["none", "balanced"] = "none"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "full", "mixed"] = "auto"
    threads: _NotNegative = 1
    checkpoint_every: _NotNegative = 0

    @property
    def search_space(self) -> Mapping[str, Mapping[str, Any]]:
        """What a search varies by default."""
        return {
            "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
            "hidden": {"choices": ((64,), (128, 64), (256, 128), (256, 256, 128))},
            "dropout": {"low": 0.0, "high": 0.4},
            "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        }


def build(config: TorchConfig, host: Host) -> Trainer:
    """Return the trainer. Raise `MissingExtra` if torch or its exporter is not installed."""
    del host
    if any(find_spec(name) is None for name in _NEEDS):
        raise MissingExtra("the trainer 'torch'", "torch")
    from mlopsfw_trainer_torch.trainer import TorchTrainer

    return TorchTrainer(config)


@hookimpl
def mlopsfw_trainers() -> Iterable[Provider[Trainer]]:
    """Offer the trainer `torch`."""
    yield Provider("torch", TorchConfig, build, "A network for tables: numbers, categories, dates; CPU or CUDA")
