"""A kind of plugin is described once: its record in the table is all that the rest of mlopsfw reads."""

from __future__ import annotations

import ast
import typing
from pathlib import Path

import jsonschema
import pytest

import mlopsfw.components
import mlopsfw.roles
from mlopsfw.kernel.base.errors import ConfigError, UnknownName
from mlopsfw.kernel.roles import hookspecs
from mlopsfw.kernel.roles.names import KINDS, ROLES, Kind, chosen_as
from mlopsfw.project.config.schema import config_schema

SOURCE = Path(mlopsfw.__file__).parent
FEW = 3
ORACLE = """
import msgspec
from mlopsfw import Provider, hookimpl
class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    depth: int = 1
@hookimpl
def mlopsfw_alerters():
    yield Provider("bell", Config, lambda config, host: config, "Rings")
"""


def test_no_other_list_of_the_kinds_exists():
    for file in SOURCE.rglob("*.py"):
        if file.name == "names.py" and file.parent.name == "roles":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
            named = {item.value for item in items if isinstance(item, ast.Constant)} & set(KINDS)
            assert len(named) < FEW, (file, node.lineno, named)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_each_kind_has_a_hook_that_yields_what_the_record_says(kind):
    spec = getattr(hookspecs, kind.spec)
    returned = spec.__annotations__["return"]
    builds = "Any" if kind.name == "component" else kind.builds
    assert (returned == f"Iterable[Provider[{builds}]]") == bool(kind.builds)
    if kind.builds:
        face = mlopsfw.components if kind.name == "component" else mlopsfw.roles
        assert isinstance(getattr(face, kind.builds), type)


def test_every_hook_is_that_of_a_kind():
    hooks = {name for name in vars(hookspecs) if name.startswith("mlopsfw_")}
    assert hooks == {kind.spec for kind in KINDS.values()}


@pytest.mark.parametrize("choice", typing.get_args(typing.get_type_hints(Kind)["choice"]))
def test_there_is_a_kind_of_each_choice(choice):
    assert chosen_as(choice)


TABLES = {
    "one": '[oracle]\nuse = "bell"\n[oracle.bell]\ndepth = {}\n',
    "many": '[[oracle]]\nuse = "bell"\ndepth = {}\n',
    "name": "[oracle.bell]\ndepth = {}\n",
}


@pytest.mark.parametrize("choice", TABLES)
def test_a_role_is_added_by_its_record_alone(choice, monkeypatch, make_project, install_plugin):
    with pytest.raises(ConfigError, match="oracle: unknown key"):
        make_project(TABLES[choice].format(2))
    default = "bell" if choice == "one" else ""
    record = Kind("oracle", choice, "Alerter", default=default, hook="mlopsfw_alerters")
    monkeypatch.setitem(KINDS, "oracle", record)
    install_plugin(ORACLE, "oracle.bell")
    project = make_project(TABLES[choice].format(2))
    selection = project.config.by_name("oracle", "bell") if choice == "name" else project.config.selections("oracle")[0]
    assert project.plugins.build("oracle", selection, project.config, project.host("oracle.bell")).depth == 2
    assert type(project.config).from_json(project.config.to_json()) == project.config
    assert [claim.name for claim in project.plugins.catalog.of("oracle")] == ["bell"]
    if choice != "name":
        assert "oracle 'bell': acme-mlops-0 1.2" in {f.message for f in project.doctor.examine()}
    schema = jsonschema.Draft202012Validator(config_schema(project.plugins))
    table = {"bell": {"depth": 2}}
    written = {"one": {"use": "bell"} | table, "many": [{"use": "bell", "depth": 2}], "name": table}[choice]
    assert schema.is_valid({"oracle": written})
    assert not schema.is_valid({"oracle": 5})
    assert not schema.is_valid({"oracle": {"bell": {"depth": "x"}}})


def test_a_role_without_a_record_is_none(project):
    with pytest.raises(UnknownName):
        project.plugins.provider("oracle", "bell")
    assert "oracle" not in ROLES
