"""How a model bears disturbed inputs, and which inputs it uses: both ask it about rows that are changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.models.disturbances import Kind
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.steps.scored import Scored

_MOST = 5000  # rows that are asked about again and again
_TINY = 1e-15


class Trial(NamedTuple):
    """A model that is asked about changed rows.

    Args:
        scored: The model's answers to the rows as they are.
        metrics: The project's metrics.
        metric: The one that tells how much worse it is.
        clusters: int64 code of each row's cluster, from 0.
        seed: Seeds what is drawn.
    """

    scored: Scored
    metrics: MetricSet
    metric: str
    clusters: np.ndarray
    seed: int = 0

    @classmethod
    def of(cls, scored: Scored, metrics: MetricSet, metric: str, clusters: np.ndarray) -> Trial:
        """Return the trial of at most 5,000 rows, drawn at random."""
        import numpy as np

        if len(scored.labels) > _MOST:
            at = np.sort(np.random.Generator(np.random.PCG64(0)).permutation(len(scored.labels))[:_MOST])
            scored, clusters = scored.part(at), clusters[at]
        return cls(scored, metrics, metric, np.unique(clusters, return_inverse=True)[1])

    def answered(self, rows: pl.DataFrame) -> Scored:
        """Return the model with its answers to other rows, beside the same labels."""
        return self.scored._replace(rows=rows, outputs=self.scored.bundle.predict_table(rows))

    def lost(self, other: Scored, at: np.ndarray | slice = slice(None)) -> float | None:
        """Return by how much the metric is worse with these answers; None where it is undefined."""
        before, after = (
            each.evaluate(self.metrics, at, [self.metric]).get(self.metric) for each in (self.scored, other)
        )
        return None if before is None or after is None else self.metrics.gain(self.metric, before, after)

    def losses(self, rows: pl.DataFrame) -> np.ndarray:
        """Return the loss of each row: minus the logarithm of its class's probability, or the squared error."""
        import numpy as np

        p, labels = _main(self.answered(rows)), self.scored.labels
        if not self.scored.bundle.manifest.classes:
            squared: np.ndarray = np.square(p - labels)
            return squared
        own = np.where(labels == 1, p, 1 - p) if p.ndim == 1 else p[np.arange(len(labels)), labels]
        return -np.log(np.maximum(own, _TINY))


def robustness_of(trial: Trial, kinds: Sequence[Kind]) -> dict[str, Any]:
    """Return how the output and the metric change under each disturbance, and for which column.

    `change` is the mean absolute change of the output (of several classes, the total variation), `flipped` the share of rows with another
    class, `metric` the metric's value and `loss` by how much that is worse.
    """
    from mlopsfw.models.disturbances import disturbed

    result: dict[str, Any] = {"metric": trial.metric, "rows": len(trial.scored.labels)}
    inputs, rows = trial.scored.bundle.manifest.inputs, trial.scored.rows
    for kind in kinds:
        tried = {
            name: _changes(trial, other) for name, other in disturbed(kind, inputs, rows, trial.losses, trial.seed)
        }
        result[kind] = tried.get("", tried)
    return result


def _changes(trial: Trial, rows: pl.DataFrame) -> dict[str, float]:
    import numpy as np

    other = trial.answered(rows)
    before, after = _main(trial.scored), _main(other)
    change = np.abs(after - before)
    values = {"change": float(change.mean() if change.ndim == 1 else change.sum(axis=1).mean() / 2)}
    if trial.scored.bundle.manifest.classes:
        values["flipped"] = float((_decided(before) != _decided(after)).mean())
    value, lost = other.evaluate(trial.metrics, only=[trial.metric]).get(trial.metric), trial.lost(other)
    return values | ({} if value is None or lost is None else {"metric": value, "loss": lost})


def importance_of(trial: Trial, repeats: int) -> dict[str, Any]:
    """Return the permutation importance of each input: by how much the metric is worse where the input is shuffled.

    After Breiman (2001, section 10), averaged over the repeats as Fisher, Rudin & Dominici (2019, section 3.2) advise. The interval is that
    of `mlopsfw.models.paired.interval`: it holds the chance of these rows. Inputs that say the same share their importance.

    Args:
        trial: The model and the rows.
        repeats: How often each input is shuffled.
    """
    import numpy as np

    draw = np.random.Generator(np.random.PCG64(trial.seed))
    rows, columns = trial.scored.rows, {}
    for each in trial.scored.bundle.manifest.inputs:
        shuffled = [rows.with_columns(rows[each.name].gather(draw.permutation(rows.height))) for _ in range(repeats)]
        if value := _weighed(trial, [trial.answered(other) for other in shuffled]):
            columns[each.name] = value
    return {"metric": trial.metric, "rows": rows.height, "repeats": repeats, "columns": columns}


def _weighed(trial: Trial, others: Sequence[Scored]) -> dict[str, float]:
    """Return the mean loss over the shuffles, with its interval."""
    import numpy as np

    from mlopsfw.models.paired import interval

    def lost(at: np.ndarray) -> float | None:
        losses = [loss for other in others if (loss := trial.lost(other, at)) is not None]
        return float(np.mean(losses)) if len(losses) == len(others) else None

    value = lost(np.arange(len(trial.scored.labels)))
    if value is None:
        return {}
    ends = interval(lost, len(trial.scored.labels), trial.clusters)
    return {"value": value, **({"low": ends[0], "high": ends[1]} if ends else {})}


def _main(scored: Scored) -> np.ndarray:
    return scored.outputs[scored.bundle.manifest.outputs[0].name].astype(float)


def _decided(p: np.ndarray) -> np.ndarray:
    return p >= 0.5 if p.ndim == 1 else p.argmax(axis=1)  # noqa: PLR2004 - the likelier class


def log_disturbed(context: StepContext, metrics: Mapping[str, Any]) -> None:
    """Write the largest loss under each disturbance, and of each shuffled input, to the log and the metrics."""
    for kind, tried in metrics.get("robustness", {}).items():
        if isinstance(tried, Mapping):
            losses = {name: each["loss"] for name, each in _tried(tried).items() if "loss" in each}
            worst = max(losses, key=losses.__getitem__, default=None)
            if worst is not None:
                context.log_metric(f"robustness.{kind}.loss", losses[worst])
                context.log(
                    f"robustness to {kind}: a loss of {losses[worst]:.3g}{f', worst in {worst}' if worst else ''}"
                )
    for name, value in metrics.get("importance", {}).get("columns", {}).items():
        context.log_metric(f"importance.{name}", value["value"])


def _tried(tried: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"": tried} if "change" in tried else tried
