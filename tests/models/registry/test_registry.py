"""The registry: gapless versions, aliases by compare-and-swap with a way back, approvals, provenance, verification, cards."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import Conflict, Corrupt, InvalidReference, NotFound, UnknownName, UsageError
from mlopsfw.kernel.roles.bundle import Manifest, SignatureColumn
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.models.registry.card_layout import markdown
from mlopsfw.models.registry.version_card import version_card


@pytest.fixture
def registry(project):
    return project.registry


@pytest.fixture
def bundle(project, tmp_path):
    """Store a folder that differs by what is asked for; return its digest."""

    def make(content: str = "weights") -> str:
        folder = tmp_path / f"bundle-{content}"
        folder.mkdir()
        manifest = Manifest(
            task="binary",
            target="late",
            inputs=(SignatureColumn(name="distance", type="number", nullable=True),),
            outputs=outputs_for("binary", (False, True)),
            classes=(False, True),
            formats={"onnx": "model.onnx"},
            files={},
        )
        import msgspec

        (folder / "bundle.json").write_bytes(msgspec.json.encode(manifest))
        (folder / "model.onnx").write_text(content)
        return project.blobs.put_folder(folder)

    return make


def test_versions_are_numbered_from_one_and_keep_what_they_came_from(registry, bundle):
    first = registry.register("delay", bundle("a"), metrics={"auc": 0.7}, datasets=["data:/flights@3"], task="binary")
    second = registry.register("delay", bundle("b"))
    assert (first.version, second.version) == (1, 2)
    found = registry.resolve("models:/delay@1")
    assert (found.metrics, found.datasets, found.task) == ({"auc": 0.7}, ("data:/flights@3",), "binary")
    assert found.environment
    assert registry.resolve("models:/delay@latest").version == 2


@pytest.mark.parametrize("ref", ["delay", "models:/delay"])
def test_a_model_without_a_selector_means_its_champion_and_not_its_newest_version(registry, bundle, ref):
    for content in "ab":
        registry.register("delay", bundle(content))
    registry.promote("delay", 1)
    assert registry.resolve(ref).version == 1
    registry.promote("delay", 2)
    assert registry.resolve(ref).version == 2


def test_a_model_without_a_champion_is_an_error_that_lists_versions_and_says_how_to_promote(registry, bundle):
    for content in "abcdefg":
        registry.register("delay", bundle(content))
    registry.promote("delay", 6, "shadow")
    with pytest.raises(UnknownName, match="has no champion") as caught:
        registry.resolve("delay")
    assert "versions 7, 6 (@shadow), 5, 4, 3 and 2 older" in caught.value.message
    assert "mlopsfw models promote delay VERSION" in caught.value.hint


def test_the_same_bundle_is_registered_once_unless_forced(registry, bundle):
    digest = bundle()
    assert registry.register("delay", digest).new
    again = registry.register("delay", digest)
    assert (again.version, again.new) == (1, False)
    assert registry.register("delay", digest, force=True).version == 2


def test_a_bundle_that_is_not_stored_cannot_be_registered(registry):
    with pytest.raises(NotFound):
        registry.register("delay", "0" * 64)
    with pytest.raises(UnknownName):
        registry.resolve("delay")


def test_an_alias_moves_by_compare_and_swap(registry, bundle):
    for content in "abc":
        registry.register("delay", bundle(content))
    assert registry.promote("delay", 1, expecting=0).was == 0
    assert registry.promote("delay", 2, expecting=1).was == 1
    with pytest.raises(Conflict, match="points at version 2, not 1"):
        registry.promote("delay", 3, expecting=1)
    assert registry.resolve("models:/delay@champion").version == 2
    assert registry.resolve("models:/delay@2").aliases == ("champion",)


def test_promoting_to_where_it_points_already_appends_nothing(registry, bundle):
    registry.register("delay", bundle())
    move = registry.promote("delay", 1)
    assert registry.promote("delay", 1) == move
    assert len(registry.model("delay").moves) == 1


def test_promoting_to_where_it_points_already_is_said_so(project, bundle, capsys):
    verb = ["--project", str(project.root), "models", "promote", "delay"]
    for content in "ab":
        project.registry.register("delay", bundle(content))
    for version, said in (("1", "(was nowhere)"), ("2", "(was version 1)"), ("2", "points at version 2 already")):
        assert run([*verb, version]) == 0
        assert said in capsys.readouterr().out


def test_rollback_goes_back_promotion_by_promotion(registry, bundle):
    for content in "abc":
        registry.promote("delay", registry.register("delay", bundle(content)).version)
    assert [registry.rollback("delay").version for _ in range(2)] == [2, 1]
    with pytest.raises(UsageError, match="has no previous version"):
        registry.rollback("delay")
    registry.promote("delay", 3)
    assert registry.rollback("delay").version == 1
    assert [(m.was, m.version, m.how) for m in registry.model("delay").moves][-2:] == [
        (1, 3, "promote"),
        (3, 1, "rollback"),
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers())
def test_rollback_undoes_exactly_the_last_promotion_whatever_came_before(registry, project, moves, salt):
    name, stack = f"m{abs(salt)}-{len(project.registry.names())}", []
    for number in range(4):
        registry.register(name, project.blobs.put(json.dumps([salt, number]).encode()), code={}, environment="e")
    for move in moves:
        if move:
            registry.promote(name, move)
            if not stack or stack[-1] != move:
                stack.append(move)
        elif len(stack) > 1:
            stack.pop()
            assert registry.rollback(name).version == stack[-1]
    assert registry.model(name).aliases() == ({"champion": stack[-1]} if stack else {})


def test_aliases_are_words_and_know_their_nearest(registry, bundle):
    registry.register("delay", bundle())
    registry.promote("delay", 1)
    for alias in ("3", "latest", "Champion", "a/b"):
        with pytest.raises(UsageError):
            registry.promote("delay", 1, alias)
    with pytest.raises(UnknownName, match="Did you mean 'champion'"):
        registry.resolve("models:/delay@champoin")
    with pytest.raises(UnknownName, match="no version 2"):
        registry.promote("delay", 2)
    with pytest.raises(UnknownName, match="no model 'delays'"):
        registry.rollback("delays")
    with pytest.raises(InvalidReference):
        registry.resolve("data:/delay")


def test_an_approval_says_who_and_when_and_why(project, registry, bundle):
    registry.register("delay", bundle())
    approved = project.people.show(registry.approve("delay", 1, "looked at the card"))
    [approval] = approved.approvals
    assert approval.comment == "looked at the card"
    assert approval.actor
    assert approval.time
    with pytest.raises(UnknownName):
        registry.approve("delay", 2)


def test_the_listing_shows_every_model_with_aliases(registry, bundle):
    registry.register("delay", bundle("a"))
    registry.register("price", bundle("b"))
    registry.promote("price", 1, "shadow")
    assert {m.name: m.aliases() for m in registry.models()} == {"delay": {}, "price": {"shadow": 1}}


def test_verifying_reads_every_file_anew(registry, bundle, project, tmp_path, monkeypatch):
    version = registry.register("delay", bundle())
    checked = []
    monkeypatch.setattr(project.bundles, "verify", checked.append)
    registry.verify("delay@1", tmp_path / "out")
    assert checked == [tmp_path / "out/bundle"]
    files = json.loads(project.blobs.get(version.bundle))
    stored = next(path for path in (project.state / "store").rglob(files["model.onnx"]) if path.is_file())
    stored.chmod(0o600)
    stored.write_bytes(b"flipped")
    with pytest.raises(Corrupt):
        registry.verify("delay@1", tmp_path / "again")


def test_a_card_tells_everything_and_escapes_what_users_wrote(registry, bundle, project):
    import polars as pl

    project.datasets.commit("flights", pl.DataFrame({"a": [1, 2]}))
    version = registry.register(
        "delay",
        bundle(),
        metrics={"auc": 0.71234567, "baseline": {"auc": 0.5}},
        datasets=["data:/flights@1", "data:/gone@1"],
        message="<script>alert(1)</script> | *bold*",
    )
    registry.approve("delay", 1, "fine")
    card = markdown(
        version_card(
            registry.resolve(version), project.blobs, project.datasets, project.config.definition, project.objectives
        )
    )
    assert "| baseline.auc | 0.5 |" in card
    assert "data:/flights@1: 2 rows" in card
    assert "data:/gone@1" in card
    assert "distance | number, may be null" in card
    assert "<script>" not in card.replace("\\<", "")
    assert "\\*bold\\*" in card
    assert "Python" in card
