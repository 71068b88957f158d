"""A training in several processes of this machine, started and restarted by torchrun's own launcher.

The processes read the rows from a folder that they share, and train to the last checkpoint. The caller continues from that checkpoint. Nothing of
it listens on a network but the loopback interface.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mlopsfw import errors
from mlopsfw.features import FeaturePlan
from mlopsfw.features.blocks import Blocks, Part, read_handle, write_copy, write_handle
from mlopsfw.roles import TrainingTask
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.columns import Input, ModuleFeatures
from mlopsfw_trainer_torch.rows import Rows, Target
from mlopsfw_trainer_torch.streamed import Encoder, PlanFeatures, Streamed

if TYPE_CHECKING:
    from mlopsfw.roles import TrainingContext
    from mlopsfw_trainer_torch.checkpoint import Checkpoints
    from mlopsfw_trainer_torch.problem import Problem

_RESTARTS = 3
_POLLED = 0.05
_PATIENCE = 15.0
_TRIED = 2  # rows: a module is tried on them in each process, too, since some layers learn their shapes from them
_ROWS, _SPEC, _REPORTS, _ERROR, _LOG = "rows.safetensors", "spec.json", "reports.jsonl", "error.json", "launcher.log"


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rows are read that do not fit into memory: see `Blocks` and `Encoder`. The handle, or a copy of the rows, lies beside as `table`."""

    table: str
    columns: tuple[str, ...]
    part: Part
    sizes: tuple[int, ...]
    block: int
    of_class: tuple[float, ...]
    inputs: tuple[Input, ...] | None


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a process of a training gets.

    Args:
        config, task: As the trainer got them.
        plan: The feature plan as JSON; None for a user's module.
        target: How labels became numbers: task, classes, mean, scale, quantiles.
        readings: `train` and `valid`, where their rows are read from the table's files.
        checkpoints, identity: Where checkpoints lie, and whose they are.
        parent: The process that waits. Without it, the others end.
    """

    config: TorchConfig
    task: TrainingTask
    plan: str | None
    target: tuple[str, tuple[str | int | bool, ...], float, float, tuple[float, ...]]
    readings: dict[str, Reading]
    checkpoints: str
    identity: str
    parent: int


def run_processes(
    config: TorchConfig, task: TrainingTask, problem: Problem, checkpoints: Checkpoints, context: TrainingContext
) -> None:
    """Train to the end in `config.processes` processes; the last checkpoint has the result.

    A process that dies takes the others with it, and all of them go on at the last checkpoint, up to three times.

    Raises:
        MlopsfwError: As in one process; `PluginError` where they die again and again.
    """
    folder = write_problem(config, task, problem, checkpoints, context)
    code = _watch(_started(config.processes, folder), folder, context)
    if (folder / _ERROR).exists():
        raise errors.error_from_json((folder / _ERROR).read_bytes())
    if code:
        lines = (folder / _LOG).read_text(errors="replace").strip().splitlines()
        cause = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "")
        raise errors.PluginError(
            f"a process of the training died, again after {_RESTARTS} restarts: {cause.strip()[:300]}",
            hint=f"The log of all processes: {folder / _LOG}. The last checkpoint is kept.",
        )


def write_problem(
    config: TorchConfig, task: TrainingTask, problem: Problem, checkpoints: Checkpoints, context: TrainingContext,
    *, copied: bool = False,
) -> Path:  # fmt: skip
    """Write what a process of the training needs; return the folder. `copied` adds the rows, for processes on other machines."""
    folder = context.scratch / "processes"
    folder.mkdir()
    target = problem.target
    spec = Spec(
        config=config, task=task, plan=None if problem.plan is None else problem.plan.to_json().decode(),
        target=(target.task, target.classes, target.mean, target.scale, target.quantiles), readings=_readings(problem, folder, copied=copied), checkpoints=str(checkpoints.folder),
        identity=checkpoints.identity, parent=os.getpid(),
    )  # fmt: skip
    (folder / _SPEC).write_bytes(msgspec.json.encode(spec))
    save_file(_named("train", problem.train) | _named("valid", problem.valid), folder / _ROWS)
    return folder


def read_spec(folder: Path) -> Spec:
    """Return what `write_problem` wrote."""
    return msgspec.json.decode((folder / _SPEC).read_bytes(), type=Spec)


def read_problem(spec: Spec, folder: Path) -> Problem:
    """Return the problem, with its rows on the CPU."""
    from mlopsfw_trainer_torch.problem import Problem

    tensors = load_file(folder / _ROWS)
    plan = None if spec.plan is None else FeaturePlan.from_json(spec.plan.encode())
    target = Target(*spec.target)
    train, valid = (_rows(name, tensors) or _streamed(name, spec, plan, target, folder) for name in ("train", "valid"))
    if train is None:
        raise errors.DataError(f"{folder / _ROWS} has no training rows")
    return Problem((), plan, target, train, valid, 0)


def _readings(problem: Problem, folder: Path, *, copied: bool) -> dict[str, Reading]:
    """Write the tables of the rows that are not in memory, each once; return how they are read."""
    readings: dict[str, Reading] = {}
    tables: dict[int, str] = {}
    for name, rows in (("train", problem.train), ("valid", problem.valid)):
        if isinstance(rows, Streamed):
            table = tables.setdefault(id(rows.blocks.data), name)
            if table == name:
                _write_table(rows.blocks, folder / f"{name}.handle", copied=copied)
            readings[name] = _reading(rows, table)
    return readings


def _write_table(blocks: Blocks, file: Path, *, copied: bool) -> None:
    if copied:
        columns = list(dict.fromkeys([*blocks.columns, *blocks.part.reads]))
        write_copy(blocks.data, columns, blocks.rows_of_block, file)
    else:
        write_handle(blocks.data, file)


def _reading(rows: Streamed, table: str) -> Reading:
    blocks, encoder = rows.blocks, rows.encoder
    return Reading(
        table=table,
        columns=blocks.columns,
        part=blocks.part,
        sizes=blocks.sizes,
        block=blocks.rows_of_block,
        of_class=encoder.of_class,
        inputs=encoder.features.inputs if isinstance(encoder.features, ModuleFeatures) else None,
    )


def _streamed(name: str, spec: Spec, plan: FeaturePlan | None, target: Target, folder: Path) -> Streamed | None:
    reading = spec.readings.get(name)
    if reading is None:
        return None
    features = PlanFeatures(plan) if plan is not None else ModuleFeatures(reading.inputs or ())
    blocks = Blocks(
        read_handle(folder / f"{reading.table}.handle"), reading.columns, reading.part, reading.sizes, reading.block
    )
    encoder = Encoder(features, target, spec.task, reading.of_class, torch.device("cpu"))
    first = next(number for number, size in enumerate(blocks.sizes) if size)
    return Streamed(blocks, encoder, blocks.block(first)[:_TRIED])


class Reports:
    """A training context that hands metrics and progress to the process that waits. Only the first process has one.

    Args:
        folder: The folder of the training.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _REPORTS

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Hand a metric over."""
        self._write(["log_metric", name, value, step])

    def progress(self, phase: str, share: float) -> None:
        """Hand the progress over."""
        self._write(["progress", phase, share])

    def _write(self, line: list[Any]) -> None:
        with self._file.open("a") as out:
            out.write(json.dumps(line) + "\n")


def write_error(folder: Path, error: errors.MlopsfwError) -> None:
    """Hand an error over. The first one counts."""
    temporary = folder / f"{_ERROR}.{os.getpid()}"
    temporary.write_bytes(errors.error_to_json(error))
    temporary.replace(folder / _ERROR)


def has_error(folder: Path) -> bool:
    """Return whether a process handed an error over: it would come again."""
    return (folder / _ERROR).exists()


def _started(count: int, folder: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={count}", f"--max-restarts={_RESTARTS}",
        "--rdzv-backend=c10d", f"--rdzv-endpoint={folder / 'rendezvous'}", "--rdzv-conf=store_type=file", "--rdzv-id=training",
        "--local-addr=127.0.0.1", "--module", "mlopsfw_trainer_torch.worker", str(folder),
    ]  # fmt: skip
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GLOO_SOCKET_IFNAME": loopback}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # it listens on every address
    environment.setdefault("OMP_NUM_THREADS", "1")
    with (folder / _LOG).open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _watch(process: subprocess.Popen[bytes], folder: Path, context: TrainingContext) -> int:
    """Hand reports on until the launcher ends; return its exit status. End it if the context raises."""
    done = 0
    try:
        while process.poll() is None:
            done = _relay(folder, done, context)
            time.sleep(_POLLED)
        _relay(folder, done, context)
        return process.returncode
    finally:
        if process.poll() is None:
            process.terminate()  # it ends its processes, too
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _relay(folder: Path, done: int, context: TrainingContext) -> int:
    """Hand the reports after the first `done` bytes on; return how many bytes are done."""
    file = folder / _REPORTS
    if not file.exists():
        return done
    with file.open("rb") as lines:
        lines.seek(done)
        for line in lines:
            if not line.endswith(b"\n"):
                break
            done += len(line)
            name, *arguments = json.loads(line)
            getattr(context, name)(*arguments)
    return done


def _named(which: str, rows: Rows | Streamed | None) -> dict[str, Tensor]:
    if not isinstance(rows, Rows):
        return {}
    tensors = {f"{which}.input.{number:06d}": each for number, each in enumerate(rows.inputs)} | {
        f"{which}.target": rows.target
    }
    if rows.weight is not None:
        tensors[f"{which}.weight"] = rows.weight
    return {name: each.contiguous().clone() for name, each in tensors.items()}


def _rows(which: str, tensors: dict[str, Tensor]) -> Rows | None:
    if f"{which}.target" not in tensors:
        return None
    inputs = tuple(tensors[name] for name in sorted(tensors) if name.startswith(f"{which}.input."))
    return Rows(inputs, tensors[f"{which}.target"], tensors.get(f"{which}.weight"))


def check_devices(config: TorchConfig, device: torch.device) -> None:
    """Raise `PluginError` if there are fewer GPUs than processes."""
    if device.type == "cuda" and torch.cuda.device_count() < config.processes:
        raise errors.PluginError(
            f"[trainer.torch] processes = {config.processes}, but this machine has {torch.cuda.device_count()} GPUs",
            hint="Set processes to their number, or device = 'cpu'.",
        )
