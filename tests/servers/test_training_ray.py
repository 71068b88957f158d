"""The trainer `torch` in several processes on the nodes of a Ray cluster: the model of one process, whatever is lost."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import DataError
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.testing.trainer import Context
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.module_trainer import ModuleTrainer

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(600)]

NETS = Path(__file__).parents[1] / "plugins"
ROWS = 96
DRAW = np.random.default_rng(1)
VECTORS = pl.DataFrame(
    {
        "vector": DRAW.normal(0, 1, (ROWS, 4)).astype(np.float32),
        "number": np.arange(ROWS),
        "kind": DRAW.choice(["a", "b", "c"], ROWS),
    }
)
TASK = TrainingTask(task="multiclass", target="kind")
CONFIG = TorchConfig(module="nets:Counted", epochs=4, batch_size=16, learning_rate=1e-2, patience=0, checkpoint_every=1)


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes, with this process as its driver beside the first."""
    import ray
    from ray_cluster import ENVIRONMENT, ray_cluster

    sys.path.insert(0, str(NETS))
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with ray_cluster(Path(folder)) as started:
            environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([str(NETS), os.environ.get("PYTHONPATH", "")])}}
            ray.init(address=started.address, log_to_driver=False, logging_level="ERROR", runtime_env=environment)
            yield started
            ray.shutdown()
    sys.path.remove(str(NETS))


def fit(tmp_path, name, launcher=None, **config):
    (tmp_path / f"{name}-notes").mkdir()
    params = {"folder": str(tmp_path / f"{name}-notes"), **config.pop("params", {})}
    context = Context.under(tmp_path, name)
    context.launcher = launcher
    trainer = ModuleTrainer(msgspec.structs.replace(CONFIG, params=params, **config))
    return trainer.fit(TASK, TableHandle.of(VECTORS), None, context), context


def fit_far(tmp_path, name, **config):
    from mlopsfw_engine_ray.group import RayLauncher

    return fit(tmp_path, name, RayLauncher(1.0), processes=2, **config)


def test_two_nodes_give_the_loss_of_one_process_and_see_each_row_once_an_epoch(tmp_path, cluster):
    _, before = fit(tmp_path, "alone")
    t = time.time()
    _, after = fit_far(tmp_path, "far")
    print("took", time.time() - t)
    losses = [[value for name, value, _ in context.metrics if name == "train_loss"] for context in (before, after)]
    print(losses)
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    seen = {file.name: file.read_text().splitlines() for file in (tmp_path / "far-notes").iterdir()}
    assert set(seen) == {"0-0", "1-0"}
    steps = ROWS // 16
    for epoch in range(4):
        ids = [
            int(i)
            for lines in seen.values()
            for line in lines[epoch * steps : (epoch + 1) * steps]
            for i in line.split()
        ]
        assert sorted(ids) == list(range(ROWS))
