"""The trainer `torch` in several processes on the nodes of a Ray cluster: the model of one process, whatever is lost."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from mlopsfw.data.tables.handle import TableHandle
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
    """A cluster of three nodes, with this process as its driver beside the first."""
    import ray
    from ray_cluster import ENVIRONMENT, ray_cluster

    sys.path.insert(0, str(NETS))
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with ray_cluster(Path(folder), nodes=3) as started:
            environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([str(NETS), os.environ.get("PYTHONPATH", "")])}}
            ray.init(address=started.address, log_to_driver=False, logging_level="ERROR", runtime_env=environment)
            yield started
            ray.shutdown()
    sys.path.remove(str(NETS))


def fit(tmp_path, name, launcher=None, **config):
    (tmp_path / f"{name}-notes").mkdir(exist_ok=True)
    params = {"folder": str(tmp_path / f"{name}-notes"), **config.pop("params", {})}
    context = Context.under(tmp_path, name)
    context.launcher = launcher
    trainer = ModuleTrainer(msgspec.structs.replace(CONFIG, params=params, **config))
    trainer.fit(TASK, TableHandle.of(VECTORS), None, context)
    return {name: [value for each, value, _ in context.metrics if each == name] for name, _, _ in context.metrics}


def fit_far(tmp_path, name, **config):
    from mlopsfw_engine_ray.group import RayLauncher

    return fit(tmp_path, name, RayLauncher(1.0), processes=2, **config)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The losses of one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(NETS)
        return fit(tmp_path_factory.mktemp("one"), "alone")["train_loss"]


def notes(folder: Path) -> dict[str, list[list[int]]]:
    return {f.name: [[int(i) for i in line.split()] for line in f.read_text().splitlines()] for f in folder.iterdir()}


def test_two_nodes_give_the_loss_of_one_process_and_see_each_row_once_an_epoch(tmp_path, cluster, alone):
    far = fit_far(tmp_path, "far")
    assert far["train_loss"] == pytest.approx(alone, abs=1e-5)
    seen = notes(tmp_path / "far-notes")
    assert set(seen) == {"0-0", "1-0"}
    steps = ROWS // 16
    for epoch in range(4):
        ids = [each for lines in seen.values() for step in lines[epoch * steps : (epoch + 1) * steps] for each in step]
        assert sum(ids) == ROWS * (ROWS - 1) // 2
        assert len(set(ids)) == ROWS


def test_rows_that_do_not_fit_are_read_by_each_node_from_a_disk_of_its_own(tmp_path, cluster):
    options = {"memory": "1kB", "batch_size": ROWS}
    one = fit(tmp_path, "one", **options)
    far = fit_far(tmp_path, "far", params={"dies_at": 3}, **options)
    assert far["streamed_rows"] == [ROWS]
    assert far["train_loss"][-1] == pytest.approx(one["train_loss"][-1], abs=1e-5)
    assert far["resumed_at_step"] == [2]
    seen = notes(tmp_path / "far-notes")
    assert set(seen) == {"0-0", "1-0", "0-1", "1-1"}
    for step in range(2):  # each is an epoch
        ids = [each for rank in "01" for each in seen[f"{rank}-1"][step]]
        assert sum(ids) == ROWS * (ROWS - 1) // 2
        assert len(set(ids)) == ROWS
    assert not list(Path(tempfile.gettempdir()).glob("mlopsfw-*-*/spec.json"))


def lose_a_node(cluster, folder: Path) -> None:
    """Take away a node that trains, once the processes have started anew and made two steps."""
    from ray_cluster import family

    end = time.monotonic() + 400
    while len(notes(folder).get("1-1", [])) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    for node in cluster.nodes[1:]:
        processes = (Path(f"/proc/{pid}/cmdline") for pid in family(node.process.pid))
        if any(b"RayTrainWorker" in file.read_bytes() for file in processes if file.exists()):
            node.kill()
            return


@pytest.mark.faults
def test_a_worker_that_is_killed_and_then_a_node_that_is_lost_cost_nothing(tmp_path, cluster, alone):
    folder = tmp_path / "hurt-notes"
    loss = threading.Thread(target=lose_a_node, args=(cluster, folder))
    folder.mkdir()
    loss.start()
    hurt = fit_far(tmp_path, "hurt", params={"dies_at": 8, "pause": 0.3})
    loss.join()
    assert hurt["train_loss"][-1] == pytest.approx(alone[-1], abs=1e-5)
    assert {name for name in notes(folder) if name.startswith("1-")} == {"1-0", "1-1", "1-2"}
    first, second = hurt["resumed_at_step"]
    assert 6 <= first < second
    assert sum(node.process.poll() is not None for node in cluster.nodes) == 1
