"""The small bundles of the kits are real: ONNX that its own checker accepts, answers as they say, and a broken one that is refused."""

from __future__ import annotations

import math

import onnx
import pytest

from mlopsfw.errors import BundleError
from mlopsfw.testing.bundles import COLUMNS, write_bundle, write_bundles
from mlopsfw.testing.host import FakeHost


def test_the_model_is_onnx_and_answers_as_its_description_says(tmp_path):
    folder = write_bundle(tmp_path / "bundle", 0.25)
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    host = FakeHost(tmp_path, "deployer.acme")
    answer = host.bundles.open(folder).predict(COLUMNS)
    rows = zip(COLUMNS["distance"], COLUMNS["hour"], strict=True)
    wanted = [1 / (1 + math.exp(-(distance / 1000 + hour / 24 + 0.25))) for distance, hour in rows]
    assert answer["probability"].tolist() == pytest.approx(wanted)
    assert answer["seen"].tolist() == COLUMNS["passenger"]


def test_two_bundles_differ_and_can_be_opened_and_the_broken_one_cannot(tmp_path):
    host = FakeHost(tmp_path, "deployer.acme")
    bundles = write_bundles(host, tmp_path)
    answers = [
        host.bundles.open(host.blobs.get_folder(digest, tmp_path / digest)).predict(COLUMNS)["probability"]
        for digest in (bundles.first, bundles.second)
    ]
    assert (answers[0] < answers[1]).all()
    broken = host.blobs.get_folder(bundles.broken, tmp_path / bundles.broken)
    with pytest.raises(BundleError):
        host.bundles.open(broken)


def test_equal_arguments_make_equal_bundles(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    made = [write_bundle(tmp_path / name / "bundle") for name in ("a", "b")]
    first, second = ({f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()} for folder in made)
    assert first == second
