"""The JSON Schema of mlopsfw.toml has a meaning for every key, in the words of the records that read the keys."""

from __future__ import annotations

import json

import pytest

from mlopsfw.kernel.config.model import StepConfig
from mlopsfw.kernel.plugins.catalog import Catalog, installed
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.project.config.docstrings import meanings
from mlopsfw.project.config.schema import config_schema

PLUGIN = '''
import msgspec
from typing import Annotated
from mlopsfw.roles import Provider, hookimpl

class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A level.

    Args:
        height: How high it is.
    """

    height: float = 1.0

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"kind_": "kind"}):
    """Options of the bell.

    Args:
        kind_: Which bell.
        levels: Its levels.
    """

    kind_: str = ""
    levels: tuple[Level, ...] = ()
    mark: Annotated[str, msgspec.Meta(description="From the annotation.")] = ""

@hookimpl
def mlopsfw_alerters():
    yield Provider("bell", Options, lambda config, host: None, "A bell")
'''


@pytest.fixture(scope="module")
def schema():
    return config_schema(PluginManager(Catalog()))


def keys(tree, path=""):
    """Yield where each key of a schema stands, and its description; conditions are no keys."""
    if isinstance(tree, list):
        for number, each in enumerate(tree):
            yield from keys(each, f"{path}[{number}]")
    elif isinstance(tree, dict):
        for name, key in tree.get("properties", {}).items():
            yield f"{path}/{name}", key.get("description", "")
        for name, inner in tree.items():
            if name != "if":
                yield from keys(inner, f"{path}/{name}")


def test_every_key_of_the_schema_has_a_description(schema):
    described = dict(keys(schema))
    assert len(described) > 500
    assert [key for key, text in described.items() if not text.strip() or "Args:" in text] == []


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.choice != "verb"])
def test_every_installed_provider_is_in_the_schema(schema, kind):
    names = {claim.name for claim in installed() if claim.kind == kind and claim.distribution == "mlopsfw"}
    text = json.dumps(schema["properties"]["steps" if kind == "step" else kind])
    assert [name for name in names if f'"{name}"' not in text] == []


def test_the_words_are_those_of_the_records(schema):
    step = schema["$defs"]["Step.split"]["properties"]
    assert {name: step[name]["description"] for name in meanings(StepConfig)} == meanings(StepConfig)
    assert schema["properties"]["storage"]["properties"]["encrypt"]["description"].startswith("References to the keys")
    assert schema["properties"]["trainer"]["properties"]["torch"]["description"].startswith("A network for tables")
    assert schema["$defs"]["DataConfig"]["description"] == "What holds for a dataset however its rows come."


def test_a_plugins_own_records_give_their_words_too(install_plugin):
    install_plugin(PLUGIN, "alerter.bell")
    definitions = config_schema(PluginManager(Catalog()))["$defs"]
    options = definitions["alerter.bell.Options"]["properties"]
    assert {name: key["description"] for name, key in options.items()} == {
        "kind": "Which bell.",
        "levels": "Its levels.",
        "mark": "From the annotation.",
    }
    assert definitions["alerter.bell.Level"]["properties"]["height"]["description"] == "How high it is."
