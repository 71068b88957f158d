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
class Bell:
    slots = 1
    def METHOD(self, *args): return RETURNED
    def close(self): ...
@hookimpl
def mlopsfw_ROLEs(): yield Provider("bell", Config, lambda config, host: BUILT, "")
"""


@pytest.fixture
def bell(install_plugin, project):
    """Return a maker of a provider whose method returns what an expression says."""

    def make(role: str, method: str, answer: str, built: str = "Bell()") -> Any:
        source = HEAD.replace("RETURNED", "Handle()" if method == "wait" else answer).replace("ANSWER", answer)
        source = source.replace("METHOD", "submit" if method == "wait" else method).replace("ROLE", role)
        install_plugin(source.replace("BUILT", built), f"{role}.bell")
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


@pytest.mark.parametrize("role", ["monitor", "alerter", "deployer", "engine", "trainer", "step"])
def test_a_build_that_returns_nothing_names_the_plugin(bell, role):
    with pytest.raises(PluginError, match=f"returned None instead of a {role}") as caught:
        bell(role, "x", "None", built="None")
    assert "in build" in caught.value.__notes__[0]


def test_a_method_that_a_provider_must_have_is_missed_by_name_and_the_others_do_what_the_protocol_says(
    bell, make_project
):
    bell("alerter", "x", "None")
    alerter = make_project('[[alerter]]\nuse = "bell"\n').providers.alerter("bell")
    with pytest.raises(AttributeError, match="deliver") as caught:
        alerter.deliver(None)
    assert "plugin 'alerter.bell'" in caught.value.__notes__[0]
    assert alerter.update(None, None) is None
    assert alerter.check() is None


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
    rest = HEAD.replace("METHOD(self, *args): return RETURNED", f"deploy(self, spec): return {answer}")
    install_plugin(
        rest.replace("ROLE", "deployer").replace("BUILT", "Bell()").replace("ANSWER", "None"), "deployer.bell"
    )
    project = make_project('[deployer]\nuse = "bell"\n')
    monkeypatch.setattr(project.endpoints, "_spec", lambda endpoint, wanted: wanted.spec(endpoint, {}))
    change = EndpointWanted(revision=0, model="model", version=1, bundle="0" * 64, reason="a test", deployer="bell")
    wanted = project.endpoints._want("orders", change)
    with pytest.raises(Exception, match=WRONG[answer]):
        project.endpoints._deploy("orders", wanted)
    (change,) = project.endpoints.history("orders")
    assert change.state == "failed"
    assert WRONG[answer] in change.detail
