"""The example `digits`: a user's own convolutional network, from images to a registered model that a file is scored by."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

import mlopsfw

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_a_convolutional_network_of_the_users_own_reads_digits(tmp_path):
    folder = shutil.copytree(EXAMPLE, tmp_path / "digits")
    subprocess.run([sys.executable, "-m", "mlopsfw", "run"], cwd=folder, check=True)
    digits = load_digits()
    images = pl.DataFrame({"pixels": digits.images.astype("uint8").tolist()})
    with mlopsfw.load_model("models:/digit", project=folder) as model:
        answers = np.stack(model.predict(images)["probabilities"].to_numpy())
    assert (answers.argmax(axis=1) == digits.target).mean() > 0.97
