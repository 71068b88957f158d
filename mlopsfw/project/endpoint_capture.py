"""`EndpointCapture`: what a deployer keeps predictions with, where its model answers beside its host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.features.signature import Signature
from mlopsfw.models.bundle.answers import Answers, as_lists

if TYPE_CHECKING:
    from mlopsfw.serving.recorder import Recorder


def plain_columns(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return columns (lists, or arrays of NumPy or Arrow) as lists of Python's own values."""
    return {name: values.tolist() if hasattr(values, "tolist") else list(values) for name, values in columns.items()}


class EndpointCapture:
    """Implements `mlopsfw.roles.Capture`.

    Args:
        recorder: Makes the records.
        folder: The endpoint's append-log.
    """

    def __init__(self, recorder: Recorder, folder: Path) -> None:
        self._recorder, self._writer = recorder, CaptureWriter(folder, recorder.header)
        self._signature = Signature(recorder.manifest.inputs)
        self._answers = Answers(recorder.manifest.outputs, f"{recorder.spec.model}@{recorder.spec.version}")

    @property
    def lost(self) -> int:
        """How many rows found no room on this machine's disk."""
        return self._writer.lost

    def write(
        self,
        columns: Mapping[str, list[Any]],
        outputs: Mapping[str, Any],
        *,
        event_time: str = "",
        request_id: str = "",
    ) -> list[str]:
        """Keep answered rows and return an id for each."""
        request = self._recorder.request(plain_columns(columns), request_id, event_time or None)
        self._signature.arrays(request.columns)  # raises where a value is of another type
        answer = as_lists(self._answers.checked(outputs, len(request.ids)))
        self._writer.write([(self._recorder.record(request, answer), len(request.ids))])
        self._writer.sync()
        return request.ids

    def close(self) -> None:
        """Let readers know that nothing follows."""
        self._writer.close()
