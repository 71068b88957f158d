"""The reasons of answers as columns: what each input contributes in a sample of a window, beside the same in the reference rows.

The window of contributions is one like any other, so a monitor compares it as it compares inputs and outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.monitoring import Baseline, Signals
from mlopsfw.operations.scratch import scratch_folder

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.kernel.roles.monitoring import Window
    from mlopsfw.kernel.services import Services
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.bundle.loaded import LoadedBundle
    from mlopsfw.models.registry import Registry
    from mlopsfw.monitoring.settings import MonitorSettings


class Reasons:
    """Explains the answers of windows.

    Args:
        services: The kernel's services.
        models: The registered models.
        bundles: Opens their bundles.
        datasets: The datasets that monitors compare with.
    """

    def __init__(self, services: Services, models: Registry, bundles: BundleStore, datasets: VersionStore) -> None:
        self._services, self._models, self._bundles, self._datasets = services, models, bundles, datasets
        self._profiles: dict[tuple[str, str, int], dict[str, object]] = {}

    def of(self, window: Window, settings: MonitorSettings) -> Window | None:
        """Return a sample of a window with the contributions to its answers, and those to the answers to the reference as its baseline.

        None at a later look, which judges the labels alone. The importance of a contribution is its share of the mean absolute contribution
        in this window.

        Raises:
            DataError: The reference lacks an input of the model.
            UsageError: The model's answers cannot be explained.
        """
        import polars as pl

        if window.look > 1 or not window.rows.num_rows:
            return None
        registered = self._models.model(window.model).get(str(window.version))
        with scratch_folder(self._services.workspace) as scratch:
            folder = self._services.blobs.get_folder(registered.bundle, scratch / "bundle")
            bundle = self._bundles.open(folder, f"{window.model}@{window.version}")
            key = registered.bundle, settings.reference, settings.explain
            if key not in self._profiles:
                self._profiles[key] = self._profile(bundle, settings)
            rows = _explained(bundle, pl.DataFrame(window.rows), settings.explain)
        names = [*self._profiles[key]]
        sizes = {name: float(rows[name].abs().mean()) for name in names}  # type: ignore[arg-type]
        total = sum(sizes.values()) or 1.0
        baseline = Baseline(
            profile=self._profiles[key],
            task=window.baseline.task,
            importance={name: size / total for name, size in sizes.items()},
        )
        return msgspec.structs.replace(
            window, rows=rows.to_arrow(), labels=None, labels_aside={}, looks=2, baseline=baseline
        )

    def _profile(self, bundle: LoadedBundle, settings: MonitorSettings) -> dict[str, object]:
        """Return the distribution of each input's contribution in the reference rows, by the contribution's name."""
        from mlopsfw_core import Reference

        inputs = [column.name for column in bundle.manifest.inputs]
        rows = self._datasets.scan(self._datasets.resolve(settings.reference))
        missing = [name for name in inputs if name not in rows.collect_schema().names()]
        if missing:
            raise DataError(
                f"explain: {settings.reference} lacks {', '.join(missing)}, which the model needs",
                hint="Compare with rows as the model gets them, such as those of a step before train: `data add`.",
            )
        explained = _explained(bundle, rows.select(inputs).collect(engine="streaming"), settings.explain)
        names = _names(bundle)
        return {name: Reference.fit(explained[name], "numeric", name=name).to_dict() for name in names}


def _names(bundle: LoadedBundle) -> list[str]:
    from mlopsfw.models.bundle.scoring import Extras, extra_names

    return extra_names(bundle.manifest, Extras(explain=True))[1:]


def _explained(bundle: LoadedBundle, rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return rows with the contributions of each input to the answer.

    Args:
        bundle: Has the model.
        rows: What it answers.
        most: How many rows to explain; of more a sample is drawn.
    """
    from mlopsfw.models.bundle.scoring import Extras, score

    some = rows.sample(most, seed=0) if rows.height > most else rows
    return score(bundle, some, Extras(explain=True))


def with_reasons(signals: Signals, reasons: Signals) -> Signals:
    """Return signals of a window with those of its contributions."""
    names = {number.name for number in reasons.numbers}
    changed = any(number.changed for number in reasons.numbers)
    return msgspec.structs.replace(
        signals,
        numbers=(*signals.numbers, *reasons.numbers),
        findings=(*signals.findings, *(each for each in reasons.findings if each.subject in names)),
        summary="; ".join(filter(None, (signals.summary, f"reasons: {reasons.summary}" if changed else ""))),
    )
