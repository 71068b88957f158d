"""What goes between a coordinator and a worker may come from a newer mlopsfw: a field that is unknown here is passed over."""

from __future__ import annotations

import msgspec
import pytest

from mlopsfw.kernel.roles.engine import Failure, StepResult, StepSpec

SPEC = StepSpec(
    project="/p", config="{}", run="r", step="s", attempt=1, epoch=1, inputs={}, outputs=("a",), fingerprint="f"
)
RECORDS = [SPEC, Failure(type="ValueError", message="no"), StepResult(failure=Failure(type="E", message="m"))]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_field_of_a_newer_version_is_passed_over(record):
    newer = msgspec.to_builtins(record) | {"a_field_of_tomorrow": {"x": 1}}
    assert msgspec.json.decode(msgspec.json.encode(newer), type=type(record)) == record


@pytest.mark.parametrize("record", RECORDS[:2], ids=lambda record: type(record).__name__)
def test_a_field_that_must_be_there_is_still_asked_for(record):
    first, *_ = record.__struct_fields__
    older = {name: value for name, value in msgspec.to_builtins(record).items() if name != first}
    with pytest.raises(msgspec.ValidationError, match=first):
        msgspec.json.decode(msgspec.json.encode(older), type=type(record))
