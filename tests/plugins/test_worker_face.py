"""What a company's deployer of its own does with public names: opens a scorer, answers, keeps predictions and labels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import ROWS, write_bundle

from mlopsfw.project.facade import Project

SERVER = """
import json, sys
from pathlib import Path
from mlopsfw.capturelog.folders import log_folder
from mlopsfw.capturelog.records import encode
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.errors import DataError
from mlopsfw.roles import EndpointSpec
from mlopsfw.worker import open_scorer

root, bundle, config, row = sys.argv[1:]
spec = EndpointSpec(endpoint="acme", model="acme", version=1, bundle="b" * 64, revision=1, pii={"name": "drop"})
scorer = open_scorer(spec, Path(bundle), Path(root), config)
log = CaptureWriter(log_folder(Path(root), "acme"), scorer.header)
answer = scorer.score({**json.loads(row), "name": ["Ada"]}, "request-1", "2013-04-01T06:30:00Z")
log.write([(answer.record, len(answer.ids))])
labels = scorer.labels([{"prediction_id": answer.ids[0], "label": True}])
log.write([(encode(labels), len(labels.ids))])
log.close()
refused = []
for ask in (lambda: scorer.score({}, None, None), lambda: scorer.labels([{"prediction_id": "x", "label": "late"}])):
    try:
        ask()
    except DataError as error:
        refused.append(error.message)
heavy = {"polars", "pyarrow", "deltalake", "torch", "obstore", "mlopsfw.pipeline.run.step_runner"} & set(sys.modules)
print(json.dumps({"ids": answer.ids, "lists": answer.lists, "refused": refused, "heavy": sorted(heavy)}))
"""


@pytest.fixture
def made(make_project: Callable[..., Project], tmp_path: Path) -> tuple[Project, Path]:
    project = make_project('[data.people]\npii = { name = "drop" }\n')
    write_bundle(project, tmp_path / "bundle", 0.0)
    return project, tmp_path / "bundle"


def test_a_server_process_opens_its_model_by_public_names_and_what_it_keeps_is_read_back(
    made: tuple[Project, Path],
) -> None:
    project, bundle = made
    inputs = project.bundles.verify(bundle).inputs
    row = {column.name: [ROWS[column.name][0].as_py()] for column in inputs}
    out = subprocess.run(
        [sys.executable, "-c", SERVER, str(project.root), str(bundle), project.config.to_json(), json.dumps(row)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    said = json.loads(out.stdout)
    assert said["heavy"] == []
    assert said["refused"] == [
        f"missing columns {', '.join(repr(column.name) for column in inputs)}", "row 0: the label 'late' is not a class",
    ]  # fmt: skip
    (kept,) = project.captures.scan("acme").collect().to_dicts()
    assert [kept["prediction_id"]] == said["ids"]
    assert [kept["probability"]] == said["lists"]["probability"]
    assert kept["client_request_id"] == "request-1"
    assert "name" not in kept
    stored = project.labels.scan("acme").collect()
    assert stored.select("prediction_id", "label").rows() == [(said["ids"][0], True)]


def test_a_log_is_compacted_by_a_process_that_knows_no_project(made: tuple[Project, Path]) -> None:
    from mlopsfw.capturelog.appendlog import segments
    from mlopsfw.worker import compact_log

    project, bundle = made
    row = {column.name: [ROWS[column.name][0].as_py()] for column in project.bundles.verify(bundle).inputs}
    config = project.config.to_json()
    subprocess.run(
        [sys.executable, "-c", SERVER, str(project.root), str(bundle), config, json.dumps(row)],
        check=True, capture_output=True,
    )  # fmt: skip
    assert compact_log("acme", project.root, config) == 1
    assert segments(project.captures.folder("acme")) == []
    assert compact_log("acme", project.root, config) == 0
