"""Reading JSON lines: strictly, or with bad lines set aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlopsfw.roles import FileFacts
from mlopsfw_format_json import strict, tolerant

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadRequest


class JsonLines:
    """Reads JSON lines."""

    typed = True
    options = ()
    media_types = ("application/jsonl", "application/x-ndjson")

    def describe(self, request: ReadRequest) -> FileFacts:  # noqa: ARG002 - JSON lines say nothing of themselves
        """Return nothing: only the rows tell."""
        return FileFacts()

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, as `mlopsfw.roles.Format` has it."""
        path, options = request.path, request.options
        texts = {name for name, kind in (options.expected | options.types).items() if kind == "string"}
        keys = set(options.key) - options.types.keys()
        if request.rejects is not None:
            return tolerant.read_jsonl(path, options.max_ratio, request.rejects, texts, keys)
        return strict.read_jsonl(path, options.max_ratio, request.schema, texts, keys)
