"""Implements the runtime protocol by ONNX Runtime. The model comes from checked bytes: ONNX Runtime itself opens no file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime

from mlopsfw.errors import BundleError
from mlopsfw.roles import read_model

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.roles import Manifest, Predictor

_ERRORS_ONLY = 3


class OnnxRuntime:
    """Loads ONNX models.

    Args:
        threads: Threads inside one prediction.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def load(self, folder: Path, manifest: Manifest) -> Predictor:
        """Load the file that the manifest lists for `onnx`. Raise `BundleError`."""
        name = manifest.formats["onnx"]
        data = read_model(folder, manifest, "onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no base
            raise BundleError(f"{folder / name} is not a model that ONNX Runtime can load: {error}") from error
        found = [output.name for output in session.get_outputs()]
        if found != list(manifest.outputs):
            raise BundleError(f"{name} returns {', '.join(found)}, but the manifest says {', '.join(manifest.outputs)}")
        return OnnxPredictor(session, manifest.outputs)


class OnnxPredictor:
    """A loaded model. ONNX Runtime's sessions may be run from many threads.

    Args:
        session: The model.
        outputs: Names of its outputs, in order.
    """

    def __init__(self, session: onnxruntime.InferenceSession, outputs: tuple[str, ...]) -> None:
        self._session, self._outputs = session, outputs
        self._names = list(outputs)
        self._inputs = [each.name for each in session.get_inputs()]

    def predict(self, features: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return each output for the rows of `features`. Raise `BundleError` where the model takes what the plan does not make."""
        try:
            feed = {name: features[name] for name in self._inputs}
        except KeyError as error:
            raise BundleError(
                f"the model takes {error.args[0]!r}, but the feature plan makes {', '.join(features)}"
            ) from None
        return dict(zip(self._outputs, self._session.run(self._names, feed), strict=True))
