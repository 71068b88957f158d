"""`RuntimeConformance`: what every runtime must do, as a test class. A plugin's author subclasses it and overrides two fixtures.

class TestAcmeRuntime(RuntimeConformance):
    @pytest.fixture
    def runtime(self):
        return AcmeRuntime()

    @pytest.fixture
    def folder(self, tmp_path):
        return make_a_bundle(tmp_path / "bundle")
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mlopsfw.features import FeaturePlan
from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.kernel.roles.bundle import Manifest, Runtime
from mlopsfw.models import bundle
from mlopsfw.models.bundle.golden import golden_rows


class RuntimeConformance:
    """Conformance of a runtime: the outputs that the manifest names, one row as in a batch, threads, and no trust in files."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Return the runtime. Override this."""
        raise NotImplementedError("override the fixture `runtime`")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return the folder of a bundle in the runtime's format. Override this."""
        raise NotImplementedError("override the fixture `folder`")

    @pytest.fixture
    def manifest(self, folder: Path) -> Manifest:
        """The bundle's manifest."""
        return bundle.verify(folder)

    @pytest.fixture
    def features(self, folder: Path) -> dict[str, np.ndarray]:
        """Features of some rows."""
        plan = FeaturePlan.from_json((folder / "plan.json").read_bytes())
        return plan.numpy(golden_rows(plan, seed=1))

    def test_it_answers_with_the_named_outputs_one_a_row(
        self, runtime: Runtime, folder: Path, manifest: Manifest, features: dict[str, np.ndarray]
    ) -> None:
        found = runtime.load(folder, manifest).predict(features)
        assert tuple(found) == manifest.outputs
        assert all(len(values) == len(next(iter(features.values()))) for values in found.values())

    def test_a_row_alone_has_the_answer_that_it_has_in_a_batch(
        self, runtime: Runtime, folder: Path, manifest: Manifest, features: dict[str, np.ndarray]
    ) -> None:
        predictor = runtime.load(folder, manifest)
        together = predictor.predict(features)
        for row in range(4):
            alone = predictor.predict({name: values[row : row + 1] for name, values in features.items()})
            for name in manifest.outputs:
                assert np.allclose(alone[name][0], together[name][row], rtol=1e-5, atol=1e-6)

    def test_no_rows_have_no_answers(
        self, runtime: Runtime, folder: Path, manifest: Manifest, features: dict[str, np.ndarray]
    ) -> None:
        found = runtime.load(folder, manifest).predict({name: values[:0] for name, values in features.items()})
        assert all(len(values) == 0 for values in found.values())

    def test_many_threads_may_ask(
        self, runtime: Runtime, folder: Path, manifest: Manifest, features: dict[str, np.ndarray]
    ) -> None:
        predictor = runtime.load(folder, manifest)
        name = manifest.outputs[0]
        expected = predictor.predict(features)[name]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: predictor.predict(features)[name], range(64)))
        assert all(np.array_equal(each, expected) for each in found)

    def test_an_altered_model_is_refused(self, runtime: Runtime, folder: Path, manifest: Manifest) -> None:
        file = folder / next(iter(manifest.formats.values()))
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        with pytest.raises(BundleError):
            runtime.load(folder, manifest)

    @pytest.mark.parametrize(
        "data", [b"", b"\x80\x04\x95\x0bcos\nsystem\n(S'true'\ntR.", b"PK\x03\x04" + bytes(64), b"{}"],
        ids=["empty", "pickle", "zip", "json"],
    )  # fmt: skip
    def test_what_is_no_model_is_refused(self, runtime: Runtime, folder: Path, manifest: Manifest, data: bytes) -> None:
        import hashlib

        name = next(iter(manifest.formats.values()))
        (folder / name).write_bytes(data)
        listed = msgspec.structs.replace(manifest, files={**manifest.files, name: hashlib.sha256(data).hexdigest()})
        with pytest.raises(BundleError):
            runtime.load(folder, listed)

    def test_outputs_that_the_model_does_not_have_are_refused(
        self, runtime: Runtime, folder: Path, manifest: Manifest
    ) -> None:
        with pytest.raises(BundleError):
            runtime.load(folder, msgspec.structs.replace(manifest, outputs=("another",)))

    def test_features_that_the_model_needs_must_be_there(
        self, runtime: Runtime, folder: Path, manifest: Manifest, features: dict[str, np.ndarray]
    ) -> None:
        predictor = runtime.load(folder, manifest)
        for name in features:
            with pytest.raises(BundleError):
                predictor.predict({other: values for other, values in features.items() if other != name})
