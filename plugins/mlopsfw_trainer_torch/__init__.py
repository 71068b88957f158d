"""Trainer `torch`: a neural network for tables, or a user's own module. Imports torch when it is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mlopsfw.errors import ConfigError, MissingExtra
from mlopsfw.roles import MemorySize, Provider, hookimpl

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
        module: A `torch.nn.Module` of your own in place of `network`, such as `acme.nets:Net`. Its `forward` gets each column
            as a tensor and returns logits.
        params: Keyword arguments of the module.
        loss: A loss of your own for it: a function of output, target and, if it heeds them, weights of the rows.
        transform: A function that changes the inputs of each training batch, such as by noise. It keeps shapes and types.
        length: Bytes of a text, and items of lists of several lengths, that a module gets: longer ones are cut, shorter ones
            padded with 0.
        members: Members of `tabm`. Training and the model's size grow with them.
        epochs: Passes over the training rows, at most; `auto` for at least 1,000 steps of the optimiser, from 10 to 400 epochs.
        batch_size: Rows in a step; `auto` for a sixteenth of the training rows as a power of two, from 32 to 1,024.
        accumulate: Parts in which a batch is computed. Their gradients add up, so a batch needs a part of the memory.
        learning_rate: The largest learning rate. It rises over the first steps, then follows the scheduler.
        warm_up: Share of all steps in which the learning rate rises.
        scheduler: The learning rate afterwards: `cosine` and `linear` fall to zero, `constant` stays.
        clip: The largest norm of all gradients; larger ones are scaled down. 0 for no limit.
        ema: The model is an average of the weights over the steps, each of them counting this many times the next; 0 for the
            last weights.
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
        compile: Compile the network with `torch.compile`, which takes a minute and needs a C++ compiler.
        memory: Memory that the rows may take, such as `4GiB`, estimated from the types of their columns and the first rows; empty for
            a quarter of the machine's. More rows are read from the files as they are needed.
        processes: Processes on this machine that share each batch. With `cuda`, each takes a GPU of its own.
        threads: Threads on the CPU; 0 for torch's own choice. Small networks gain little from more than one, lose much where
            cores are shared, and come out otherwise for every number of threads.
        checkpoint_every: Steps between checkpoints; 0 for one at the end of an epoch if the last is two seconds old.
    """

    network: Literal["tabm", "mlp"] = "tabm"
    module: str = ""
    params: dict[str, Any] = {}
    loss: str = ""
    transform: str = ""
    length: _Positive = 256
    members: _Positive = 8
    epochs: _Positive | _Auto = "auto"
    batch_size: _Positive | _Auto = "auto"
    accumulate: _Positive = 1
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-2
    warm_up: _Share = 0.05
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    clip: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    ema: _Share = 0.0
    hidden: tuple[_Positive, ...] = (128, 64)
    embedding: _Positive = 8
    dropout: _Share = 0.05
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 3e-4
    patience: _NotNegative | _Auto = "auto"
    holdout: _Share = 0.15
    class_weights: Literal["none", "balanced"] = "none"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "full", "mixed"] = "auto"
    compile: bool = False
    memory: MemorySize = ""
    processes: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    threads: _NotNegative = 1
    checkpoint_every: _NotNegative = 0

    @property
    def search_space(self) -> Mapping[str, Mapping[str, Any]]:
        """What a search varies by default."""
        of_any: dict[str, Mapping[str, Any]] = {
            "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
            "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        }
        if self.module:
            return of_any
        return of_any | {
            "hidden": {"choices": ((64,), (128, 64), (256, 128), (256, 256, 128))},
            "dropout": {"low": 0.0, "high": 0.4},
        }

    def __post_init__(self) -> None:
        for key in ("params", "loss", "transform"):
            if getattr(self, key) and not self.module:
                raise ConfigError(
                    f"the trainer 'torch' has `{key}`, but no `module`", key=key, hint='Set module = "acme.nets:Net".'
                )


def build(config: TorchConfig, host: Host) -> Trainer:
    """Return the trainer. Raise `MissingExtra` if torch or its exporter is not installed."""
    del host
    if any(find_spec(name) is None for name in (*_NEEDS, *(("onnxscript",) if config.module else ()))):
        raise MissingExtra("the trainer 'torch'", "torch")
    if config.module:
        from mlopsfw_trainer_torch.module_trainer import ModuleTrainer

        return ModuleTrainer(config)
    from mlopsfw_trainer_torch.trainer import TorchTrainer

    return TorchTrainer(config)


@hookimpl
def mlopsfw_trainers() -> Iterable[Provider[Trainer]]:
    """Offer the trainer `torch`."""
    yield Provider(
        "torch",
        TorchConfig,
        build,
        "A network for tables, or a module of your own; CPU or CUDA",
        code=("module", "loss", "transform"),
    )
