"""Model bundles: a folder of open formats with a model, its signature, and facts about its training data.

    bundle.json        the manifest: task, signature, outputs, classes, every other file with its sha256, facts
    model.onnx, …      the model, in one or more formats; also in folders
    plan.json          the feature plan, where the runtime applies one
    signature.arrow    the inputs as an Arrow schema; outputs.arrow likewise
    profile.json       the training profile that monitors compare with
    golden.json        made-up rows and the model's answers, replayed whenever the bundle is opened
    calibration.json   what makes its answers true, and its intervals, where it is calibrated
    card.md            the model card
    requirements.txt, sbom.json   what it was made with

Nothing in it is a pickle, and nothing unknown is loaded. Opening one and predicting imports neither Arrow, Polars nor torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.bundle import Manifest, Runtime
    from mlopsfw.kernel.roles.training import TrainedModel, TrainingData, TrainingTask
    from mlopsfw.models.bundle.calibrated import Calibration
    from mlopsfw.models.bundle.loaded import LoadedBundle

__all__ = ["BundleStore", "open_bundle", "verify", "write"]


class BundleStore:
    """Opens and makes bundles with the runtimes of a project.

    Args:
        runtimes: Returns the runtime of a format; raises `UnknownFormat`.
    """

    def __init__(self, runtimes: Callable[[str], Runtime]) -> None:
        self._runtimes = runtimes

    def runtime(self, format: str) -> Runtime:  # noqa: A002 - the field's word
        """Return the runtime of a format. Raise `UnknownFormat`."""
        return self._runtimes(format)

    def open(self, folder: Path, name: str = "") -> LoadedBundle:
        """Open the bundle in `folder`: verify and load it, and replay its golden rows. Raise `BundleError`.

        Args:
            folder: Its folder.
            name: What errors call the model, such as `delay@3`; by default its folder.
        """
        return open_bundle(folder, self._runtimes, name)

    def verify(self, folder: Path) -> Manifest:
        """Check every file of a bundle without loading the model; return its manifest. Raise `BundleError`."""
        return verify(folder)

    def write(self, folder: Path, trained: TrainedModel, task: TrainingTask, train: TrainingData) -> Manifest:
        """Make the bundle of a trained model in `folder` (new or empty); see `write`."""
        return write(folder, trained, task, train, self._first(trained))

    def try_out(self, folder: Path, trained: TrainedModel, task: TrainingTask) -> LoadedBundle:
        """Return a trained model, loaded from its own files in `folder` (new or empty), to score rows with.

        It has no profile, golden rows or card: it judges a fold, and is not kept. Raise as `write` does.
        """
        from mlopsfw.models.bundle.writing import lay_out

        return lay_out(folder, trained, task, self._first(trained))

    def recalibrate(self, folder: Path, bundle: LoadedBundle, calibration: Calibration, rows: pl.DataFrame) -> Manifest:
        """Make a bundle of another one and a calibration in `folder` (new or empty): the same model with calibrated answers.

        Args:
            folder: Where.
            bundle: The other one.
            calibration: Whose.
            rows: The calibration rows: monitors compare the answers to come with those to these.

        Raises:
            BundleError: The calibration does not suit the model.
        """
        from mlopsfw.models.bundle.recalibrate import write_recalibrated

        return write_recalibrated(folder, bundle, calibration, lambda made: made.predict_table(rows), self._runtimes)

    def _first(self, trained: TrainedModel) -> dict[str, Runtime]:
        return {name: self._runtimes(name) for name in list(trained.formats)[:1]}


def open_bundle(folder: Path, runtimes: Callable[[str], Runtime], name: str = "") -> LoadedBundle:
    """Open the bundle in `folder` through the runtime of its first format, and replay its golden rows.

    Args:
        folder: Its folder.
        runtimes: Returns the runtime of a format; raises `UnknownFormat`.
        name: What errors call the model; by default its folder.

    Raises:
        BundleError: A file is missing, altered, extra, or not what it must be; or the model does not answer as it did.
    """
    from mlopsfw.models.bundle.loaded import load

    return load(folder, runtimes, name)


def verify(folder: Path) -> Manifest:
    """Check that a bundle is complete and holds only allowed files, without loading the model; return its manifest.

    Raises:
        BundleError: It is not.
    """
    from mlopsfw.models.bundle.files import read_manifest, verify_files

    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    return manifest


def write(
    folder: Path, trained: TrainedModel, task: TrainingTask, train: TrainingData, runtimes: Mapping[str, Runtime]
) -> Manifest:
    """Make the bundle of a trained model. Equal arguments give equal files.

    Args:
        folder: New or empty.
        trained: What the trainer returned.
        task: The learned task.
        train: The training rows: the profile is made of them. No row of theirs is kept.
        runtimes: Format → runtime; the model's first format must be among them.

    Raises:
        BundleError: The trainer's files do not make a bundle.
        UnknownFormat: No runtime loads its first format.
    """
    from mlopsfw.models.bundle.writing import write_bundle

    return write_bundle(folder, trained, task, train, runtimes)
