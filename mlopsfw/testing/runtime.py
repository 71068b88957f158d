"""`RuntimeConformance`: what every runtime must do, as a test class. A plugin's author subclasses it and overrides two fixtures.

class TestAcmeRuntime(RuntimeConformance):
    @pytest.fixture
    def runtime(self):
        return AcmeRuntime()

    @pytest.fixture
    def folder(self, tmp_path):
        return bundle_of(tmp_path / "bundle", AcmeRuntime(), trained, task, rows)   # of mlopsfw.testing.bundles
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from mlopsfw.features.signature import Signature
from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.kernel.roles.bundle import Manifest, Model, Runtime
from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask
from mlopsfw.models import bundle
from mlopsfw.models.bundle.answers import Answers, as_lists
from mlopsfw.testing.bundles import bundle_of
from mlopsfw.testing.trainer import Context, RecordedData

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.training import Trainer

_NO_MODELS = {
    "empty": b"",
    "pickle": b"\x80\x04\x95\x0bcos\nsystem\n(S'true'\ntR.",
    "zip": b"PK\x03\x04" + bytes(64),
    "json": b"[]",
}


class RuntimeConformance:
    """Conformance of a runtime: the outputs that the manifest declares, one row as in a batch, threads, and no trust in files."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Return the runtime. Override this."""
        raise NotImplementedError("override the fixture `runtime`")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return the folder of a bundle in the runtime's format. Override this."""
        raise NotImplementedError("override the fixture `folder`")

    def written(self, folder: Path, trainer: Trainer, task: TrainingTask, rows: pl.DataFrame, runtime: Runtime) -> Path:
        """Train on the rows, and write the bundle of the model into `folder`; return the folder."""
        trained = trainer.fit(task, RecordedData(rows), None, Context.under(folder.parent, "training"))
        return bundle_of(folder, runtime, trained, task, rows)

    @pytest.fixture
    def manifest(self, folder: Path) -> Manifest:
        """The bundle's manifest."""
        return bundle.verify(folder)

    @pytest.fixture
    def columns(self, folder: Path, manifest: Manifest) -> dict[str, np.ndarray]:
        """Inputs of some rows, as the kernel hands them to a model: those of the bundle's golden rows."""
        golden = msgspec.json.decode((folder / "golden.json").read_bytes())["columns"]
        return Signature(manifest.inputs).arrays(golden)

    def test_it_answers_with_the_declared_outputs_one_a_row(
        self, runtime: Runtime, folder: Path, manifest: Manifest, columns: dict[str, np.ndarray]
    ) -> None:
        answer = runtime.load(folder, manifest).predict(columns)
        Answers(manifest.outputs, "the model").checked(answer, len(next(iter(columns.values()))))

    def test_the_golden_rows_have_the_stored_answers(self, runtime: Runtime, folder: Path) -> None:
        bundle.open_bundle(folder, lambda _: runtime)

    def test_a_row_alone_has_the_answer_that_it_has_in_a_batch(
        self, runtime: Runtime, folder: Path, manifest: Manifest, columns: dict[str, np.ndarray]
    ) -> None:
        model = runtime.load(folder, manifest)
        together = _lists(manifest, model.predict(columns))
        for row in range(4):
            alone = _lists(manifest, model.predict({name: values[row : row + 1] for name, values in columns.items()}))
            for name, values in together.items():
                assert _alike(alone[name], values[row : row + 1])

    def test_no_rows_have_no_answers(
        self, runtime: Runtime, folder: Path, manifest: Manifest, columns: dict[str, np.ndarray]
    ) -> None:
        answer = runtime.load(folder, manifest).predict({name: values[:0] for name, values in columns.items()})
        assert {len(answer[output.name]) for output in manifest.outputs} == {0}

    def test_the_columns_are_not_changed(
        self, runtime: Runtime, folder: Path, manifest: Manifest, columns: dict[str, np.ndarray]
    ) -> None:
        before = {name: values.tolist() for name, values in columns.items()}
        runtime.load(folder, manifest).predict(columns)
        assert repr({name: values.tolist() for name, values in columns.items()}) == repr(before)

    def test_many_threads_may_ask(
        self, runtime: Runtime, folder: Path, manifest: Manifest, columns: dict[str, np.ndarray]
    ) -> None:
        model = runtime.load(folder, manifest)
        expected = _lists(manifest, model.predict(columns))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: _lists(manifest, model.predict(columns)), range(64)))
        assert all(repr(answer) == repr(expected) for answer in answers)

    def test_contributions_are_finite_and_add_up_to_the_answer(
        self, runtime: Runtime, folder: Path, manifest: Manifest, columns: dict[str, np.ndarray]
    ) -> None:
        model = runtime.load(folder, manifest)
        total = sum(_explained(model, manifest, columns).values())
        main = _main(manifest, model.predict(columns))
        if manifest.task == "binary":
            possible = [1 / (1 + np.exp(-total))]
        elif manifest.task == "multiclass":
            odds = np.exp(total - np.max(total, axis=-1, keepdims=True))
            possible = [odds / odds.sum(axis=-1, keepdims=True)]
        else:
            possible = [np.asarray(total), np.exp(total)]  # a logarithm is the link of counts
        assert any(np.allclose(each, main, rtol=1e-4, atol=1e-5) for each in possible), (
            "what `explain` returns does not add up to the sum behind the answer"
        )

    def test_a_row_has_the_same_contributions_each_time_alone_and_in_a_batch(
        self, runtime: Runtime, folder: Path, manifest: Manifest, columns: dict[str, np.ndarray]
    ) -> None:
        model = runtime.load(folder, manifest)
        before = {name: values.tolist() for name, values in columns.items()}
        together, again = (_explained(model, manifest, columns) for _ in range(2))
        assert repr({name: values.tolist() for name, values in columns.items()}) == repr(before), "columns are changed"
        for row in range(4):
            part = {name: values[row : row + 1] for name, values in columns.items()}
            for name, values in _explained(model, manifest, part).items():
                assert np.array_equal(together[name], again[name])
                assert np.allclose(values, together[name][row : row + 1], rtol=1e-5, atol=1e-6)

    def test_an_altered_model_is_refused(self, runtime: Runtime, folder: Path, manifest: Manifest) -> None:
        file = folder / next(iter(manifest.formats.values()))
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        with pytest.raises(BundleError):
            runtime.load(folder, manifest)

    @pytest.mark.parametrize("data", _NO_MODELS.values(), ids=_NO_MODELS)
    def test_what_is_no_model_is_refused(self, runtime: Runtime, folder: Path, manifest: Manifest, data: bytes) -> None:
        name = next(iter(manifest.formats.values()))
        (folder / name).write_bytes(data)
        listed = msgspec.structs.replace(manifest, files={**manifest.files, name: hashlib.sha256(data).hexdigest()})
        with pytest.raises(BundleError):
            runtime.load(folder, listed)

    @pytest.mark.parametrize("data", _NO_MODELS.values(), ids=_NO_MODELS)
    def test_what_is_no_model_is_not_adopted(
        self, runtime: Runtime, manifest: Manifest, tmp_path: Path, data: bytes
    ) -> None:
        adopt = getattr(runtime, "adopt", None)
        if adopt is None:
            pytest.skip("it takes no files that were made elsewhere")
        form, name = next(iter(manifest.formats.items()))
        file = tmp_path / "elsewhere" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        model = TrainedModel(inputs=(), files={name: file}, formats={form: name})
        with pytest.raises(BundleError):
            adopt(TrainingTask(task="", target=""), model, file.parent)

    def test_outputs_that_the_model_does_not_have_are_refused(
        self, runtime: Runtime, folder: Path, manifest: Manifest
    ) -> None:
        another = msgspec.structs.replace(manifest.outputs[0], name="another")
        with pytest.raises(BundleError):
            runtime.load(folder, msgspec.structs.replace(manifest, outputs=(another,)))


def _explained(model: Model, manifest: Manifest, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the contributions, with a checked name, shape and value each. Skip the test where the model explains nothing."""
    explain = getattr(model, "explain", None)
    if explain is None:
        pytest.skip("it explains no answers")
    names = ["", *(column.name for column in manifest.inputs)]
    shares = Answers(manifest.outputs, "the model").explained(
        explain(columns), names, len(next(iter(columns.values())))
    )
    by_class = (len(manifest.classes),) if manifest.task == "multiclass" else ()
    assert shares[""].shape[1:] == by_class, "a contribution is a number, or a number for each of several classes"
    return shares


def _main(manifest: Manifest, answer: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(answer[manifest.outputs[0].name], dtype=np.float64)


def _lists(manifest: Manifest, answer: Mapping[str, Any]) -> dict[str, list[Any]]:
    rows = len(next(iter(answer.values())))
    return as_lists(Answers(manifest.outputs, "the model").checked(answer, rows))


def _alike(alone: list[Any], together: list[Any]) -> bool:
    try:
        return np.allclose(
            np.array(alone, dtype=float), np.array(together, dtype=float), rtol=1e-5, atol=1e-6, equal_nan=True
        )
    except (TypeError, ValueError):  # texts, or lists of several lengths
        return alone == together
