"""A version's card as Markdown, an HTML page and an ML-BOM: what was measured, what was not, and what the file does not say."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mlopsfw.cli.root import cli
from mlopsfw.errors import MissingExtra
from mlopsfw.kernel.config.model import Definition
from mlopsfw.kernel.roles.bundle import Manifest
from mlopsfw.models.registry.ml_bom import Described, ml_bom
from mlopsfw.models.registry.versions import ModelVersion
from mlopsfw.testing.bundles import write_bundle

TOML = """
[project]
name = "p"
purpose = "Warn <script>alert(1)</script> passengers"
stakeholders = ["passengers"]
"""
METRICS = {
    "auc": 0.7123456789,
    "intervals": {"auc": {"low": 0.70, "high": 0.72}},
    "segments": {
        "carrier": {
            "AA": {"auc": 0.65, "intervals": {"auc": {"low": 0.6, "high": 0.7}}},
            "UA": {"auc": 0.6, "intervals": {}},
        }
    },
    "bias": {
        "sex": {
            "groups": {
                "f<b>": {"rows": 300, "selection_rate": {"value": 0.2, "low": 0.15, "high": 0.25}},
                "m": {"rows": 310, "selection_rate": {"value": 0.4, "low": 0.35, "high": 0.45}},
            },
            "demographic_parity_difference": {"value": 0.2, "low": 0.12, "high": 0.28},
            "small": {"x": 3},
            "groups_left_out": 1,
        }
    },
}
FACTS = {
    "trainer": "lightgbm",
    "rows": 6533,
    "settings": {"num_leaves": 31, "learning_rate": 0.05},
    "search": {"metric": "rmse", "counts": {"done": 2, "stopped": 1}},
    "importance": {"secret": 1.0},
}


@pytest.fixture
def card(make_project, tmp_path):
    """Return the verb: a format to what it prints."""
    project = make_project(TOML)
    bundle = project.host("deployer.http").blobs.put_folder(write_bundle(tmp_path / "bundle", facts=FACTS))
    project.registry.register("delay", bundle, metrics=METRICS, datasets=["data:/flights@3"])

    def run(form, *more):
        result = CliRunner().invoke(
            cli, ["--project", str(project.root), "models", "card", "delay@1", "--format", form, *more]
        )
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_the_card_shows_groups_with_intervals_and_asks_for_what_is_missing(card):
    text = card("md")
    assert "| sex | rows | selection rate |" in text
    assert "| m | 310 | 0.4 (0.35 to 0.45) |" in text
    assert "| demographic parity difference | 0.2 (0.12 to 0.28) |" in text
    assert "Too few rows of sex to judge: x (3)." in text
    assert "| carrier | auc |" in text
    assert "| AA | 0.65 (0.6 to 0.7) |" in text
    assert "| UA | 0.6 |" in text
    assert "| auc | 0.712 (0.7 to 0.72) |" in text
    assert "bias.sex" not in text
    assert "does not say: owner, out of scope. Write owner and out\\_of\\_scope into mlopsfw.toml." in text
    assert "Robustness was not measured. Ask the step evaluate" in text


def test_the_card_names_the_trainer_its_options_and_the_search_that_chose_them(card):
    section = card("md").partition("## How it was trained")[2].partition("## ")[0]
    assert section.index("| trainer | lightgbm |") < section.index("| rows | 6533 |")
    assert "| search.counts.stopped | 1 |" in section
    assert "| num\\_leaves | 31 |" in section
    assert "secret" not in section


def test_the_verb_show_leaves_concerns_to_the_card(card, tmp_path):
    shown = CliRunner().invoke(cli, ["--project", str(tmp_path / "project"), "models", "show", "delay@1"]).output
    assert "`mlopsfw models card delay@1` shows bias." in shown
    assert "segments.carrier.AA.auc" in shown
    assert "bias.sex" not in shown


def test_the_page_holds_the_same_and_no_markup_of_users(card, tmp_path):
    file = tmp_path / "card.html"
    card("html", "--out", str(file))
    page = file.read_text()
    assert "<td>0.2 (0.15 to 0.25)</td>" in page
    assert "f&lt;b&gt;" in page
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_the_ml_bom_is_valid_and_holds_the_model_card(card):
    text = card("cyclonedx")
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    component = json.loads(text)["metadata"]["component"]
    assert (component["type"], component["name"], component["bom-ref"]) == (
        "machine-learning-model",
        "delay",
        "models:/delay@1",
    )
    made = component["modelCard"]
    metrics = made["quantitativeAnalysis"]["performanceMetrics"]
    of_all, of_slice = {"lowerBound": "0.7", "upperBound": "0.72"}, {"lowerBound": "0.6", "upperBound": "0.7"}
    assert {"type": "auc", "value": "0.712346", "confidenceInterval": of_all} in metrics
    assert {
        "type": "auc", "value": "0.65", "slice": "segments/carrier/AA", "confidenceInterval": of_slice,
    } in metrics  # fmt: skip
    assert {"type": "auc", "value": "0.6", "slice": "segments/carrier/UA"} in metrics
    gap = {"lowerBound": "0.12", "upperBound": "0.28"}
    assert gap in [each.get("confidenceInterval") for each in metrics]
    assert made["considerations"]["fairnessAssessments"][0]["groupAtRisk"] == "sex: f<b>"
    assert made["considerations"]["users"] == ["passengers"]
    assert {"name": "mlopsfw:not-said", "value": "owner"} in made["properties"]
    assert card("cyclonedx") == text


def test_the_ml_bom_says_how_the_model_was_trained(card):
    made = json.loads(card("cyclonedx"))["metadata"]["component"]["modelCard"]
    assert made["modelParameters"]["architectureFamily"] == "lightgbm"
    assert made["modelParameters"]["datasets"] == [{"type": "dataset", "name": "data:/flights@3"}]
    said = {each["name"]: each["value"] for each in made["properties"]}
    assert said["mlopsfw:training:rows"] == "6533"
    assert said["mlopsfw:option:num_leaves"] == "31"
    assert said["mlopsfw:training:search.counts.stopped"] == "1"
    assert not [name for name in said if "secret" in name]


def test_the_ml_bom_has_what_the_trainer_measured_itself():
    facts = {"metrics": {"valid_auc": 0.7, "train_auc": None, "loss": 0.25}, "estimator": "sklearn.svm.SVC"}
    manifest = Manifest(
        task="binary", target="late", inputs=(), outputs=(), formats={"onnx": "m"}, files={}, facts=facts
    )
    version = ModelVersion(name="delay", version=1, bundle="0" * 64, time="2026-11-30T00:00:00Z")
    text = ml_bom(Described(version, manifest, Definition(), {}))
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    made = json.loads(text)["metadata"]["component"]["modelCard"]
    assert made["modelParameters"]["modelArchitecture"] == "sklearn.svm.SVC"
    assert made["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "auc", "value": "0.7", "slice": "training/valid"},
        {"type": "loss", "value": "0.25", "slice": "training"},
    ]


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cyclonedx.output", None)
    with pytest.raises(MissingExtra) as caught:
        ml_bom(Described(None, None, None, {}))
    assert "mlopsfw[card]" in caught.value.hint
