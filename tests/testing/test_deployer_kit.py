"""The kit of deployers: the sample passes it (tests/scaffold), and each mutant fails the test that is made for it."""

from __future__ import annotations

import shutil
from uuid import uuid4

import msgspec
import pytest

from mlopsfw.project.facade import Project
from mlopsfw.roles import EndpointStatus
from mlopsfw.scaffold.deployer import SampleDeployer
from mlopsfw.testing.bundles import write_bundles
from mlopsfw.testing.deployer import DeployerConformance, spec

replace = msgspec.structs.replace


class AnswersNothing(SampleDeployer):
    """Is ready, and has no answer for anyone."""

    def score(self, endpoint, requests):
        return iter(())


class AnswersWithoutOutputs(SampleDeployer):
    def score(self, endpoint, requests):
        return (scores._replace(outputs={}) for scores in super().score(endpoint, requests))


class AnswersTheSameToEveryRow(SampleDeployer):
    def score(self, endpoint, requests):
        for scores in super().score(endpoint, requests):
            yield scores._replace(outputs={name: values[:1] * len(values) for name, values in scores.outputs.items()})


class IgnoresExtras(SampleDeployer):
    """Answers without what was asked for."""

    def score(self, endpoint, requests, **_extras):
        return super().score(endpoint, requests)


class GoesOnWithTheFirstBundle(SampleDeployer):
    """Says that it serves the second."""

    first = None

    def deploy(self, spec):
        self.first = self.first or spec
        return super().deploy(spec)

    def score(self, endpoint, requests):
        self._host.state.put(endpoint, msgspec.to_builtins(self.first))
        return super().score(endpoint, requests)


class IgnoresPii(SampleDeployer):
    """Asks the model, and captures, what was sent."""

    def deploy(self, spec):
        return super().deploy(replace(spec, pii={}))

    def score(self, endpoint, requests):
        return super().score(endpoint, ({k: v for k, v in columns.items() if k != "name"} for columns in requests))


class Capturing(SampleDeployer):
    """Captures as `write` does."""

    def __init__(self, host):
        super().__init__(Proxy(host, self))

    def write(self, capture, columns, outputs):
        return capture.write(columns, outputs)


class Proxy:
    """A host whose capture is changed."""

    def __init__(self, host, deployer):
        self._host, self._deployer = host, deployer

    def __getattr__(self, name):
        return getattr(self._host, name)

    def capture(self, spec, manifest):
        return ProxyOfCapture(self._host.capture(spec, manifest), self._deployer)


class ProxyOfCapture:
    def __init__(self, capture, deployer):
        self._capture, self._deployer = capture, deployer

    def __getattr__(self, name):
        return getattr(self._capture, name)

    def write(self, columns, outputs):
        return self._deployer.write(self._capture, columns, outputs)


class LosesEveryCapture(Capturing):
    def write(self, capture, columns, outputs):
        return [uuid4().hex for _ in columns["distance"]]


class LosesTheLastRow(Capturing):
    def write(self, capture, columns, outputs):
        ids = capture.write(*({name: values[:-1] for name, values in each.items()} for each in (columns, outputs)))
        return [*ids, uuid4().hex]


class LosesCapturesOnceItChanges(Capturing):
    def deploy(self, spec):
        self.changed = spec.revision > 1
        return super().deploy(spec)

    def write(self, capture, columns, outputs):
        return [uuid4().hex for _ in columns["distance"]] if self.changed else capture.write(columns, outputs)


class CapturesOtherAnswers(Capturing):
    def write(self, capture, columns, outputs):
        return capture.write(columns, {**outputs, "probability": [0.5] * len(columns["distance"])})


class CapturesAnswersTwice(Capturing):
    def write(self, capture, columns, outputs):
        capture.write(columns, outputs)
        return capture.write(columns, outputs)


class TreatsForTheModelAlone(Capturing):
    """Captures what was sent, treated by no marks."""

    def write(self, capture, columns, outputs):
        capture._recorder.requests._kept.marks.clear()
        return capture.write({**columns, "passenger": ["Ada"] * 3}, outputs)


class CapturesWhatTheModelRefused(Capturing):
    def score(self, endpoint, requests):
        try:
            yield from super().score(endpoint, requests)
        except Exception:
            rows = {"distance": [1.0], "hour": [1.0], "passenger": ["x"]}
            bundle = self._host.bundles.open(self._folder(endpoint) / self._served(endpoint).bundle)
            capture = self._host.capture(self._served(endpoint), bundle.manifest)
            capture.write(rows, bundle.predict(rows))
            capture.close()
            raise


class IgnoresRoutes(SampleDeployer):
    def deploy(self, spec):
        return super().deploy(replace(spec, routes=()))


class DeclaresNoMode(SampleDeployer):
    mode = ""


class CannotScore(SampleDeployer):
    score = None


class ForgetsToSayWhereItAnswers(SampleDeployer):
    mode = "online"


class ReadyBeforeItIs(SampleDeployer):
    """Opens no bundle."""

    def _lay_out(self, spec):
        self._host.blobs.get_folder(spec.bundle, self._folder(spec.endpoint) / spec.bundle)


class ComesBack(SampleDeployer):
    """Takes any revision."""

    def _served(self, endpoint):
        served = super()._served(endpoint)
        return served and replace(served, revision=min(served.revision, 1)) if self.deploying else served

    deploying = False

    def deploy(self, spec):
        self.deploying = True
        try:
            super().deploy(spec)
        finally:
            self.deploying = False
        return self.status(spec.endpoint)


class SaysNothing(SampleDeployer):
    def status(self, endpoint):
        return EndpointStatus(endpoint=endpoint, state="ready")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A project that has stored the bundles, and their digests."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "mlopsfw.toml").write_text('[project]\nname = "contract"\n')
    with Project.open(folder) as project:
        bundles = write_bundles(project.host("deployer.contract"), tmp_path_factory.mktemp("bundles"))
    return folder, bundles


@pytest.fixture
def kit(stored, tmp_path):
    """Return a function that runs one test of the kit on a deployer."""
    template, bundles = stored
    suite, project = DeployerConformance(), Project.open(shutil.copytree(template, tmp_path / "project"))

    def run(kind, test):
        host = project.host("deployer.contract")
        deployer = kind(host)
        given = {
            "deployer": deployer, "bundles": bundles, "project": project, "host": host, "tmp_path": tmp_path,
        }  # fmt: skip
        method = getattr(suite, f"test_{test}")
        names = method.__code__.co_varnames[1 : method.__code__.co_argcount]
        if "served" in names:
            deployer.deploy(spec(1, bundles.first))
            given["served"] = deployer
        method(**{name: given[name] for name in names})

    yield run
    project.close()


ANSWERS = "it_answers_as_the_model_does"
CAPTURED = "what_it_answered_is_captured_and_outlives_a_change_and_the_end"
TREATED = "personal_columns_are_treated_as_in_training_before_they_are_captured"
MODE = "it_declares_its_mode"
MUTANTS = [
    (AnswersNothing, ANSWERS),
    (AnswersNothing, CAPTURED),
    (AnswersNothing, TREATED),
    (AnswersWithoutOutputs, ANSWERS),
    (AnswersTheSameToEveryRow, ANSWERS),
    (GoesOnWithTheFirstBundle, ANSWERS),
    (IgnoresPii, TREATED),
    (TreatsForTheModelAlone, TREATED),
    (LosesEveryCapture, CAPTURED),
    (LosesEveryCapture, TREATED),
    (LosesTheLastRow, CAPTURED),
    (LosesCapturesOnceItChanges, CAPTURED),
    (CapturesOtherAnswers, CAPTURED),
    (CapturesAnswersTwice, CAPTURED),
    (CapturesWhatTheModelRefused, "rows_that_the_model_does_not_take_are_refused_and_not_captured"),
    (IgnoresExtras, "extras_that_the_model_lacks_are_refused_and_nothing_is_captured"),
    (IgnoresRoutes, "routes_are_served_or_refused_and_never_ignored"),
    (DeclaresNoMode, MODE),
    (CannotScore, MODE),
    (ForgetsToSayWhereItAnswers, "a_deployed_endpoint_is_ready_and_says_what_it_serves"),
    (ReadyBeforeItIs, "a_bundle_that_cannot_be_loaded_is_refused_and_the_old_one_goes_on"),
    (ComesBack, "an_older_revision_does_not_come_back"),
    (SaysNothing, "a_deployed_endpoint_is_ready_and_says_what_it_serves"),
]


@pytest.mark.parametrize("test", sorted({test for _, test in MUTANTS}))
def test_the_sample_passes_here(kit, test):
    kit(SampleDeployer, test)


@pytest.mark.parametrize(("mutant", "test"), MUTANTS)
def test_the_kit_catches(kit, mutant, test):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        kit(mutant, test)
