"""What a plugin returns is checked where it comes in: a wrong answer is an error that names plugin, method and field."""

from __future__ import annotations

from typing import Any

import pytest

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.config.model import Selection
from mlopsfw.serving.events import EndpointWanted

HEAD = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import EndpointStatus, Number, Receipt, Signals, StepResult

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True): ...
class Handle:
    def wait(self, timeout=None): return ANSWER
    def cancel(self): ...
class Whole:
    slots, mode, tasks, abilities = 1, "online", ("binary",), ()
    def deploy(self, *args): ...
    close = deliver = fit = signals = status = stop = submit = deploy
class Bell(Whole):
    def METHOD(self, *args): return RETURNED
def lacking(names, *absent, **values):
    made = {name: lambda self, *args: None for name in names.split()} | values
    return type("Bell", (), {name: each for name, each in made.items() if name not in absent})()
@hookimpl
def mlopsfw_ROLEs(): yield Provider("bell", Config, lambda config, host: BUILT, "")
"""


@pytest.fixture
def bell(install_plugin, project):
    """Return a maker of a provider whose method returns what an expression says."""

    def make(role: str, method: str, answer: str, built: str = "Bell()") -> Any:
        source = HEAD.replace("RETURNED", "Handle()" if method == "wait" else answer).replace("ANSWER", answer)
        source = source.replace("METHOD", "submit" if method == "wait" else method).replace("ROLE", role)
        source = source.replace("mlopsfw_secretss", "mlopsfw_secrets").replace("BUILT", built)
        install_plugin(source, f"{role}.bell")
        return project.providers._build(role, Selection(use="bell", key=role))

    return make


METHODS = [
    ("monitor", "signals", 2), ("monitor", "page", 2), ("alerter", "deliver", 1), ("deployer", "deploy", 1),
    ("deployer", "status", 1), ("deployer", "stop", 1), ("engine", "submit", 1), ("engine", "wait", 0),
]  # fmt: skip
MAY_BE_NONE = {("monitor", "page"), ("alerter", "deliver"), ("engine", "wait")}


@pytest.mark.parametrize("answer", ["None", "{}", "7", "object()", "[]"])
@pytest.mark.parametrize(("role", "method", "arguments"), METHODS)
def test_an_answer_of_another_type_names_the_plugin(bell, role, method, arguments, answer):
    provider = bell(role, method, answer)
    part = provider.submit(None) if method == "wait" else provider
    if answer == "None" and (role, method) in MAY_BE_NONE:
        assert getattr(part, method)(*[None] * arguments) is None
        return
    with pytest.raises(PluginError, match="it returned") as caught:
        getattr(part, method)(*[None] * arguments)
    where = "Handle.wait" if method == "wait" else f"{role.capitalize()}.{method}"
    assert caught.value.__notes__ == [f"raised by plugin '{role}.bell' (acme-mlops-0 1.2) in {where}"]
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("role", "method", "answer", "field"),
    [
        ("monitor", "signals", "Signals(findings=('drift',))", "findings"),
        ("monitor", "signals", "Signals(summary=None)", "summary"),
        ("monitor", "signals", "Signals(numbers=(Number(name='a', kind='mood'),))", "kind"),
        ("deployer", "deploy", "EndpointStatus(endpoint='e', state='fine')", "state"),
        ("deployer", "status", "EndpointStatus(endpoint='e', state='ready', revision='1')", "revision"),
        ("alerter", "deliver", "Receipt(id=7)", "id"),
    ],
)
def test_a_field_of_another_type_is_named(bell, role, method, answer, field):
    provider = bell(role, method, answer)
    with pytest.raises(PluginError, match=field) as caught:
        getattr(provider, method)(*([None] * (2 if method == "signals" else 1)))
    assert f"plugin '{role}.bell'" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "role", ["monitor", "alerter", "deployer", "engine", "trainer", "step", "runtime", "format", "source", "secrets"]
)
def test_a_build_that_returns_nothing_names_the_plugin(bell, role):
    noun = {"secrets": "secret store"}.get(role, role)
    with pytest.raises(PluginError, match=f"returned None instead of a {noun}") as caught:
        bell(role, "x", "None", built="None")
    assert "in build" in caught.value.__notes__[0]


DEMANDED = {
    "storage": "put put_if_absent get list delete table_location describe",
    "trainer": "tasks abilities fit",
    "runtime": "load",
    "deployer": "mode deploy status stop",
    "monitor": "signals",
    "alerter": "deliver",
    "engine": "slots submit close",
    "format": "typed options media_types describe read",
    "source": "queries find",
    "secrets": "read",
}


def test_the_roles_that_providers_are_built_for_are_known():
    from mlopsfw.kernel.roles.names import KINDS

    records = {"step", "metric", "component"}  # made by mlopsfw's own classes, which demand their fields
    assert set(DEMANDED) == {kind.name for kind in KINDS.values() if kind.builds} - records


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in DEMANDED.items() for name in names.split()])
def test_a_provider_that_lacks_what_its_role_demands_is_refused_where_it_is_built(bell, role, name):
    with pytest.raises(PluginError, match=f"it returned a Bell, which has no {name!r}") as caught:
        bell(role, "x", "None", built=f"lacking({DEMANDED[role]!r}, {name!r})")
    assert caught.value.__notes__ == [f"raised by plugin '{role}.bell' (acme-mlops-0 1.2) in build"]
    assert "mlopsfw.roles." in caught.value.hint


def test_a_deployer_of_mode_batch_has_a_method_that_scores(bell):
    with pytest.raises(PluginError, match="which has no 'score'"):
        bell("deployer", "x", "None", built=f"lacking({DEMANDED['deployer']!r}, mode='batch')")


@pytest.mark.parametrize("role", DEMANDED)
def test_a_provider_that_has_what_its_role_demands_is_built_with_the_defaults_of_the_rest(bell, role):
    built = bell(role, "x", "None", built=f"lacking({DEMANDED[role]!r})")
    if role == "alerter":
        assert built.update(None, None) is None
        assert built.check() is None


def test_a_property_that_would_ask_a_cluster_is_not_computed_to_see_that_it_is_there(bell):
    names, asks = DEMANDED["engine"].replace("slots ", ""), "slots=property(lambda self: 1 / 0)"
    engine = bell("engine", "x", "None", built=f"lacking({names!r}, {asks})")
    with pytest.raises(ZeroDivisionError):
        engine.slots  # noqa: B018 - computed now


def test_a_secret_store_without_read_is_named_where_a_reference_needs_it(bell, make_project):
    toml = '[secrets.bell]\n[[alerter]]\nuse = "webhook"\nurl = "bell:hook"\n'
    with pytest.raises(PluginError):
        bell("secrets", "x", "None", built="lacking('')")
    with pytest.raises(PluginError, match="has no 'read': no secret store") as caught:
        make_project(toml).secrets.resolve("bell:hook")
    assert "secrets.bell" in caught.value.__notes__[0]


WRONG = {
    "None": "it returned None instead of EndpointStatus",
    "EndpointStatus(endpoint=spec.endpoint, state='failed', detail='no memory')": "no memory",
    "EndpointStatus(endpoint=spec.endpoint, state='starting')": "starting",
    "EndpointStatus(endpoint='other', state='ready')": "other",
}


@pytest.mark.parametrize("answer", WRONG)
def test_a_deployer_whose_answer_is_not_that_the_endpoint_is_ready_has_failed(
    install_plugin, make_project, monkeypatch, answer
):
    rest = HEAD.replace("def METHOD(self, *args): return RETURNED", f"def deploy(self, spec): return {answer}")
    install_plugin(
        rest.replace("ROLE", "deployer").replace("BUILT", "Bell()").replace("ANSWER", "None"), "deployer.bell"
    )
    project = make_project('[deployer]\nuse = "bell"\n')
    monkeypatch.setattr(project.endpoints, "_spec", lambda endpoint, wanted: wanted.spec(endpoint, {}))
    change = EndpointWanted(revision=0, model="model", version=1, bundle="0" * 64, reason="a test", deployer="bell")
    wanted = project.endpoints._want("orders", change)
    with pytest.raises(Exception, match=WRONG[answer]):
        project.endpoints._deploy("orders", wanted)
    (change,) = project.people.show(project.endpoints.history("orders"))
    assert change.state == "failed"
    assert WRONG[answer] in change.detail
