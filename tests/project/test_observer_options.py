"""An observer that annotates its options with a record gets them read and checked; one that does not gets the table as it is."""

from __future__ import annotations

import warnings

import pytest

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.project.config.schema import config_schema
from mlopsfw.project.facade import Project
from mlopsfw.project.observer_options import record_of

BELL = """
from __future__ import annotations
from typing import TYPE_CHECKING
import msgspec
from mlopsfw import hookimpl
if TYPE_CHECKING:
    from mlopsfw.roles import Event

class BellOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    '''`[observer.bell]`.

    Args:
        file: Where to write.
    '''

    file: str = "bell.txt"

seen = []

@hookimpl
def mlopsfw_event(event: Event, options: BellOptions | None):
    seen.append(options)
"""


@pytest.fixture
def bell(install_plugin):
    """Install the observer; return what it was given."""
    module = install_plugin(BELL, "observer.bell")
    return lambda: [None if given is None else given.file for given in __import__(module).seen]


def happen(project):
    project.ledger.stream("run/a").append(PlainRecord("run.heartbeat", {}))


@pytest.mark.parametrize(("toml", "given"), [("", None), ("[observer.bell]\n", "bell.txt"), ('[observer.bell]\nfile = "a"\ntimeout = 3\n', "a")])  # fmt: skip
def test_an_observer_gets_its_record_and_nothing_without_a_table(bell, make_project, toml, given):
    happen(make_project(toml))
    assert bell() == [given]


@pytest.mark.parametrize("overrides", [(), ("observer.bell.fil=b",)])
def test_an_unknown_key_is_refused_before_anything_is_written_with_its_line_and_the_nearest_name(
    bell, make_project, overrides
):
    project = make_project("[observer.bell]\n" + ("" if overrides else 'fil = "a"\n'))
    with Project.open(project.root, overrides=overrides) as project, pytest.raises(ConfigError) as refused:
        happen(project)
    assert "observer.bell.fil: unknown key" in str(refused.value)
    assert "file" in refused.value.hint
    assert list(project.ledger.streams()) == []
    assert bell() == []


def test_doctor_and_the_schema_read_the_record(bell, make_project):
    project = make_project('[observer.bell]\nfil = "a"\n')
    wrong = [found.message for found in project.doctor.examine() if found.level == "error"]
    assert any("observer.bell.fil: unknown key" in message for message in wrong)
    schema = config_schema(project.plugins)
    reference = schema["properties"]["observer"]["properties"]["bell"]
    record = reference if "properties" in reference else schema["$defs"]["observer.bell.BellOptions"]
    assert record["properties"]["file"]["description"] == "Where to write."
    assert {"file", "timeout"} >= record["properties"].keys()
    assert record["additionalProperties"] is False


def test_an_observer_without_a_record_or_that_cannot_be_imported_is_left_to_say_so_itself(install_plugin, make_project):
    install_plugin(
        "from mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_event(event, options): assert options == {'a': 1}\n",
        "observer.plain",
    )
    install_plugin("1 / 0\n", "observer.broken")
    project = make_project("[observer.plain]\na = 1\n[observer.broken]\nb = 1\n")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        happen(project)
    assert [str(each.message) for each in warned if "observer.broken" not in str(each.message)] == []


def test_a_record_is_read_past_what_only_a_type_checker_imports():
    namespace = {}
    exec(
        "from __future__ import annotations\ndef take(event: Nowhere, options: dict): pass\ndef miss(options: Nowhere): pass\n",
        namespace,
    )
    assert (record_of(namespace["take"]), record_of(namespace["miss"])) == (None, None)
