"""A component of a plugin is checked when it is built and at each answer; while it is broken, nothing that it may need goes."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import shutil
import subprocess
import sys
from hashlib import sha256

import polars as pl
import pytest

from mlopsfw.cli import run
from mlopsfw.governance.forget import STREAM, merged
from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.plugins.blame import PluginWarning
from mlopsfw.operations.gc import collect
from mlopsfw.project.facade import Project

HEAD = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.components import *
from mlopsfw.events import Blob, EventRecord
class Options(msgspec.Struct, forbid_unknown_fields=True): ...
def oops(*_): raise RuntimeError("no licence")
class Seen(EventRecord, frozen=True, kw_only=True):
    type = "plugin.component.acme.seen"
class Twin(EventRecord, frozen=True, kw_only=True):
    type = "plugin.component.acme.seen"
class Seven(EventRecord, frozen=True, kw_only=True):
    type = 7
class Second(EventRecord, frozen=True, kw_only=True):
    type = "plugin.component.acme.seen"
    schema = 2
class Place:
    def find(self, scope): return FOUND
    def erase(self, scope): return ERASED
"""
TAIL = """
def build(config, host): return BUILT
@hookimpl
def mlopsfw_components(): yield Provider("acme", Options, build)
"""
TOML = '[project]\nname = "p"\n[privacy]\nkey = "env:PII"\n'


def plugin(built: str, found: str = "Held()", erased: str = "Held()") -> str:
    return (HEAD + TAIL).replace("BUILT", built).replace("FOUND", found).replace("ERASED", erased)


def component(fields: str) -> str:
    return plugin(f"Component(name='acme', {fields})")


def table(name: str) -> str:
    return component(f"index=IndexPart(tables='CREATE TABLE {name} (a TEXT)', changes={{}})")


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A project with three versions of a dataset, which no test changes."""
    root = tmp_path_factory.mktemp("committed")
    (root / "mlopsfw.toml").write_text(TOML)
    with contextlib.closing(Project.open(root)) as project:
        for n in range(3):
            project.datasets.commit("people", pl.DataFrame({"customer": ["ada-71", "bo-55"], "n": [n, 2]}), "replace")
    return root


@pytest.fixture
def people(committed, tmp_path, monkeypatch):
    """A copy of it."""
    monkeypatch.setenv("PII", "ab" * 32)
    root = tmp_path / "project"
    shutil.copytree(committed, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def verb(people, capsys, recwarn):
    """Run a command line in the project; return its exit code and all that it printed."""

    def run_(*arguments):
        code = run(list(arguments))
        said = capsys.readouterr()
        return code, said.out + said.err

    return run_


FORGET = ("data", "forget", "people", "--key", "customer=ada-71", "--yes")
VACUUM = ("data", "vacuum", "people", "--keep", "1")


def left(root):
    """Return what stands in the project: the versions of which the rows can be read, and the events of erasures."""
    with contextlib.closing(Project.open(root)) as project:
        events = [event.type for event in project.ledger.stream(STREAM).events()]
        rows = [project.datasets.scan("people", version).collect().height for version in (1, 2, 3)]
    return rows, events


UNTOUCHED = ([2, 2, 2], [])
BROKEN = {
    "import": "raise OSError('no licence')",
    "no provider": HEAD,
    "build raises": plugin("oops()"),
    "build ends the process": plugin("exit()"),
    "wrong type": plugin("dict()"),
    "another's name": plugin("Component(name='datasets')"),
    "two records of one type": component("events=(Seen, Twin)"),
    "a number as type": component("events=(Seven,)"),
    "a number as record": component("events=(5,)"),
    "no events": component("events=None"),
    "no upcaster": component("events=(Second,)"),
    "a text as check": component("checks=('nope',)"),
    "no checks": component("checks=None"),
    "a check that cannot be asked": component("checks=(Check('q', '', None),)"),
    "the name of a bundled check": component("checks=(Check('erasures', '', tuple),)"),
    "the name of a kernel's check": component("checks=(Check('blobs', '', tuple),)"),
    "two checks of one name": component("checks=(Check('q', '', tuple), Check('q', '', tuple))"),
    "no tables": component("index=IndexPart(tables=None, changes={})"),
    "a text as index": component("index='CREATE TABLE x (a TEXT)'"),
    "a listing that is none": component("index=IndexPart(tables='', changes={}, listings=('x',))"),
    "the index's own table": table("positions"),
    "the index's other table": table("lines"),
    "another's table": table("datasets"),
    "needs is no function": component("needs=[(1, 'x')]"),
    "holdings is no function": component("holdings=(Place(),)"),
    "a text as reference": component("references=('acme',)"),
    "a reference without functions": component("references=(ReferenceKind(scheme='acme', exact=None, facts=None),)"),
    "another's scheme": component("references=(ReferenceKind(scheme='data', exact=oops, facts=oops),)"),
}


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_while_a_component_cannot_be_built_nothing_is_vacuumed_or_erased_and_doctor_says_why(
    source, verb, people, install_plugin, recwarn
):
    install_plugin(source, "component.acme")
    for command in (VACUUM, FORGET):
        code, said = verb(*command)
        assert code == 5, said
        assert "plugin 'component.acme' (acme-mlops-0 1.2)" in said
        assert "mlopsfw plugins disable component.acme" in said
    with contextlib.closing(Project.open(people)) as project:
        errors = [each.message for each in project.doctor.examine() if each.check == "component.acme"]
        with pytest.raises(PluginError, match=r"disable component\.acme"):
            list(project.table_access.names())
    assert len(errors) == 1
    assert "component.acme" in errors[0]
    (people / "mlopsfw.toml").write_text(TOML + '[plugins]\ndisabled = ["component.acme"]\n')
    assert left(people) == UNTOUCHED
    assert verb(*VACUUM)[0] == 0  # the person's word


@pytest.mark.parametrize("second", ["mlopsfw.v1", "mlopsfw.v9"])
def test_a_component_that_is_claimed_twice_or_needs_other_hooks_refuses_too(second, verb, people, install_plugin):
    module = install_plugin(plugin("Component(name='acme')"), "component.acme")
    site = next(entry for entry in map(__import__("pathlib").Path, sys.path) if (entry / f"{module}.py").exists())
    if second == "mlopsfw.v1":
        install_plugin(plugin("Component(name='acme')"), "component.acme")
    else:
        (points,) = site.glob("acme_mlops_0-*.dist-info/entry_points.txt")
        points.write_text(points.read_text().replace("mlopsfw.v1", second))
    assert verb(*VACUUM)[0] == 5
    assert verb(*FORGET)[0] == 5


def test_the_command_line_warns_of_a_broken_component_in_one_line_without_source(people, install_plugin):
    install_plugin(plugin("oops()"), "component.acme")
    done = subprocess.run(
        [sys.executable, "-m", "mlopsfw", "data", "list"], cwd=people, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: plugin 'component.acme' (acme-mlops-0 1.2) is left out: RuntimeError: no licence")
    assert ".py" not in line


# -- answers -----------------------------------------------------------------------------------------------------------

NOTHING, TEXT, NUMBER, ITEMS = "lambda *_: None", "lambda *_: 'text'", "lambda *_: 7", "lambda *_: [object()]"
WRONG = (NOTHING, TEXT, NUMBER, ITEMS)
NEEDS = (*WRONG, "lambda _: [('1', 'x')]", "lambda _: [(True, 'x')]", "lambda _: [(1, None)]", "lambda _: {1: 'x'}")


@pytest.mark.parametrize("needs", [*NEEDS, "oops"])
def test_vacuum_deletes_nothing_where_what_is_needed_is_no_version_and_reason(needs, verb, people, install_plugin):
    install_plugin(component(f"needs={needs}"), "component.acme")
    code, said = verb(*VACUUM)
    assert code == 5, said
    assert ("no licence" if needs == "oops" else "component.acme: needs returned ") in said
    assert "raised by plugin 'component.acme'" in said
    assert left(people) == UNTOUCHED


@pytest.mark.parametrize(
    "found", ["None", "{}", "({}, {})", "Held(5)", "Held({'x': 'text'})", "Held({'x': True})", "Held({7: 1})", "oops()",
              "Held({'x': [object()]})", "Held({}, {'x': None})"],
)  # fmt: skip
def test_forget_erases_nothing_where_a_holding_does_not_say_what_it_has(found, verb, people, install_plugin):
    install_plugin(plugin("Component(name='acme', holdings=lambda: [Place()])", found=found), "component.acme")
    code, said = verb(*FORGET)
    assert code == 5, said
    assert ("no licence" if found == "oops()" else "component.acme: find returned a") in said.replace(" None", " a")
    assert left(people) == UNTOUCHED


@pytest.mark.parametrize("holdings", [*WRONG, "lambda: [type('Half', (), {'find': oops})()]", "oops"])
def test_forget_erases_nothing_where_holdings_are_none(holdings, verb, people, install_plugin):
    install_plugin(component(f"holdings={holdings}"), "component.acme")
    code, said = verb(*FORGET)
    assert code == 5, said
    assert "raised by plugin 'component.acme'" in said
    assert left(people) == UNTOUCHED


def test_an_erasure_with_a_wrong_answer_is_not_done_and_the_next_goes_on_with_it(verb, people, install_plugin):
    module = install_plugin(
        plugin("Component(name='acme', holdings=lambda: [Place()])", erased="None"), "component.acme"
    )
    for _ in range(2):
        code, said = verb(*FORGET)
        assert code == 5, said
        assert "component.acme: erase returned None, not a Held" in said
    sys.modules[module].Place.erase = lambda self, scope: sys.modules[module].Held()
    assert verb(*FORGET)[0] == 0
    with contextlib.closing(Project.open(people)) as project:
        events = [event for event in project.ledger.stream(STREAM).events() if event.type.startswith("erasure.")]
        assert [event.type for event in events] == ["erasure.begun", "erasure.done"]
        assert events[0].body["erasure"] == events[1].body["erasure"]
        assert project.erasures.unfinished() == {}


def test_an_erasure_of_another_dataset_does_not_end_one_that_was_cut_short(people):
    with contextlib.closing(Project.open(people)) as project:
        same = {"column": "customer", "subject": "digest"}
        stream = project.ledger.stream(STREAM)
        stream.append(PlainRecord("erasure.begun", same | {"erasure": "a", "dataset": "people"}))
        stream.append(PlainRecord("erasure.begun", same | {"erasure": "b", "dataset": "pets"}))
        stream.append(PlainRecord("erasure.done", same | {"erasure": "b", "dataset": "pets"}))
        assert project.erasures.unfinished() == {"a": "digest"}


@pytest.mark.parametrize("released", [*WRONG, "lambda: ['../../x']", "oops"])
def test_gc_deletes_nothing_where_what_is_released_is_no_digest(released, verb, people, install_plugin):
    with contextlib.closing(Project.open(people)) as project:
        orphan = project.blobs.put(b"orphan")
        install_plugin(component(f"released={released}"), "component.acme")
    code, said = verb("gc", "--grace", "0")
    assert code == 5, said
    with contextlib.closing(Project.open(people)) as project:
        assert project.blobs.get(orphan) == b"orphan"


KIND = "references=(ReferenceKind(scheme='acme', exact={exact}, facts={facts}, edges={edges}),)"
RIGHT = {"exact": "lambda ref, _: ref", "facts": "lambda *_: {}", "edges": "lambda *_: []"}
REFERENCES = [
    (KIND.format(**RIGHT | {name: wrong}), f"references.{name}")
    for name, answers in {
        "exact": (NOTHING, NUMBER, ITEMS),
        "facts": (*WRONG, "lambda *_: {'a': 1}", "lambda *_: {'a': Fact(1, None)}", "lambda *_: {7: Fact(1)}"),
        "edges": (*WRONG, "lambda *_: ['data:/people@1']", "lambda *_: [Edge('a', None, '')]"),
    }.items()
    for wrong in answers
]
LINEAGE = [(f"edges={wrong}, {KIND.format(**RIGHT)}", "edges") for wrong in (*WRONG, "lambda *_: ['data:/people@1']")]


@pytest.mark.parametrize(("fields", "function"), REFERENCES + LINEAGE)
def test_a_lineage_with_a_wrong_answer_names_component_and_function(fields, function, verb, install_plugin):
    install_plugin(component(fields), "component.acme")
    code, said = verb("lineage", "acme:/x")
    assert code == 5, said
    assert f"component.acme: {function} returned " in said
    assert "raised by plugin 'component.acme'" in said


TAKES = """references=(ReferenceKind(
    scheme="acme", exact=lambda ref, _: "acme:/x@1", facts=lambda *_: {}, artifact=lambda ref: ARTIFACT, colour="red",
),)"""
SEVEN = sha256(b"7").hexdigest()
STEPS = '[steps.add]\npython = "work:add"\ninputs = {{ number = "{}" }}\n'


def taking(people, install_plugin, reference, artifact):
    (people / "mlopsfw.toml").write_text(TOML + STEPS.format(reference))
    (people / "work.py").write_text("def add(number):\n    return number + 1\n")
    with contextlib.closing(Project.open(people)) as project:
        assert project.blobs.put(b"7") == SEVEN
    source = component(TAKES).replace("ARTIFACT", artifact)
    install_plugin(
        source.replace("import msgspec", "import msgspec\nfrom mlopsfw.roles import Artifact"), "component.acme"
    )


@pytest.mark.parametrize("reference", ["acme:/x", "acme:/x@1"])
def test_a_reference_of_a_plugin_is_taken_by_a_step_linked_and_drawn_like_ours(reference, verb, people, install_plugin):
    taking(
        people, install_plugin, reference, f'Artifact(kind="json", digest="{SEVEN}", blob="{SEVEN}", ref="acme:/x@1")'
    )
    code, said = verb("run")
    assert code == 0, said
    with contextlib.closing(Project.open(people)) as project:
        (view,) = project.runs.list()
        assert project.values.load(view.steps["add"].outputs["result"]) == 8
        run_ = f"runs:/{view.id}"
    down = json.loads(verb("lineage", reference, "--json", "--html", "page.html")[1])["down"]
    assert [(edge["source"], edge["target"], edge["how"]) for edge in down] == [("acme:/x@1", run_, "read by")]
    page = (people / "page.html").read_text()
    assert re.search(r'<g id="asked" class="red root"><title>acme:/x@1</title>', page)
    assert re.search(rf'<g class="soft"><title>{run_}', page)


@pytest.mark.parametrize("artifact", ["None", "7", "Artifact(kind='nope', digest='')"])
def test_an_artifact_of_another_kind_is_the_plugins_error(artifact, verb, people, install_plugin):
    taking(people, install_plugin, "acme:/x", artifact)
    code, said = verb("run")
    assert code != 0
    assert "component.acme: references.artifact returned" in said


@pytest.mark.parametrize(
    ("reference", "hint"),
    [("acmee:/x", "acme"), ("endpoints:/x", "A step can take acme:/…, data:/…, models:/…, runs:/…")],
)
def test_a_step_that_names_a_kind_that_none_can_take_is_an_error_with_its_line(
    reference, hint, verb, people, install_plugin
):
    taking(people, install_plugin, reference, "None")
    code, said = verb("run")
    assert code == 2
    assert f"mlopsfw.toml:7: steps.add.inputs.number: no step can take '{reference}'" in said
    assert hint in said


def test_a_colour_that_is_not_in_the_palette_is_refused(verb, people, install_plugin):
    install_plugin(component(TAKES.replace('"red"', '"pink"')), "component.acme")
    with pytest.warns(PluginWarning, match=r"'pink' is no colour"):
        verb("doctor", "--list")


@pytest.mark.parametrize(
    "ask", [*WRONG, "oops", "lambda: [Diagnosis('fatal', 'x')]", "lambda: [Diagnosis('ok', None)]"]
)
def test_doctor_asks_on_after_a_check_without_an_answer_and_names_its_plugin(ask, people, install_plugin):
    install_plugin(component(f"checks=(Check('licence', '', {ask}), Check('after', '', tuple))"), "component.acme")
    with contextlib.closing(Project.open(people)) as project:
        findings = {each.check: each for each in project.doctor.examine()}
    assert findings["licence"].level == "error"
    assert "plugin 'component.acme'" in findings["licence"].message
    assert (findings["after"].level, findings["plugins"].level) == ("ok", "ok")


def test_counts_of_one_name_and_other_kinds_stand_side_by_side():
    answers = [("data", {"rows": 1}), ("acme", {"rows": ["x"], "erasure": 7}), ("data", {"rows": 2, "kept": {"a": 1}})]
    assert merged(answers) == {"rows": 3, "acme.rows": ["x"], "acme.erasure": 7, "kept": {"a": 1}}


# -- stored events -----------------------------------------------------------------------------------------------------

UPCASTERS = {
    "raises": ("{1: lambda body: 1 / 0}", "ZeroDivisionError"),
    "ends the process": ("{1: lambda body: exit()}", "SystemExit"),
    "returns nothing": ("{1: lambda body: None}", "returned a NoneType"),
}


@pytest.mark.parametrize(("upcasters", "reason"), UPCASTERS.values(), ids=UPCASTERS)
def test_an_upcaster_that_fails_is_named_with_plugin_stream_and_number(upcasters, reason, people, install_plugin):
    source = component("events=(Second,)").replace("schema = 2", f"schema = 2\n    upcasters = {upcasters}")
    stream = "plugin/component.acme"
    with contextlib.closing(Project.open(people)) as project:
        project.ledger.stream(stream).append(PlainRecord("plugin.component.acme.seen", {}), plugin="component.acme")
    install_plugin(source, "component.acme")
    with contextlib.closing(Project.open(people)) as project, pytest.raises(PluginError) as caught:
        list(project.ledger.stream(stream).events())
    assert caught.value.message.startswith(f"{stream} #1: plugin 'component.acme' cannot read version 1 of ")
    assert reason in caught.value.message


# -- tables that an event cannot change ---------------------------------------------------------------------------------

SEEN = "plugin.component.acme.seen"
INDEXED = """IndexPart(
    tables="CREATE TABLE seen (n INTEGER)",
    changes={("plugin", "plugin.component.acme.seen"): change, ("dataset", "dataset.tagged"): change},
    listings=(Listing("seen", "what was seen", "SELECT * FROM seen"),),
)"""
CHANGES = {
    "raises": "def change(db, name, event): db.execute('INSERT INTO seen VALUES (1)'); 1 / 0",
    "ends the process": "def change(db, name, event): exit()",
    "wrong SQL": "def change(db, name, event): db.execute('INSERT INTO absent VALUES (1)')",
    "wrong field": "def change(db, name, event): Numbered.of(event)",
}
NUMBERED = (
    "class Numbered(EventRecord, frozen=True, kw_only=True):\n    type = 'plugin.component.acme.seen'\n    n: int\n"
)


def indexed(change: str, fields: str = "") -> str:
    return f"{component(f'index={INDEXED}, {fields}')}\n{NUMBERED}\n{change}\n"


def see(root, stream="plugin/component.acme", type_=SEEN):
    with contextlib.closing(Project.open(root)) as project:
        project.ledger.stream(stream).append(PlainRecord(type_, {"n": "x"}), plugin="component.acme")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_tables_that_an_event_cannot_change_are_set_aside_and_every_other_question_is_answered(
    change, verb, people, install_plugin
):
    see(people)
    install_plugin(indexed(change), "component.acme")
    with pytest.warns(PluginWarning, match=r"the tables of component.acme are set aside: .* plugin/component.acme #1"):
        assert verb("index", "query", "SELECT * FROM datasets")[0] == 0
    assert verb("data", "log", "people")[0] == 0
    code, said = verb("index", "list", "seen")
    assert code == 5
    assert "the tables of component.acme are set aside: its change for plugin/component.acme #1 raised" in said
    assert verb("index", "query", "SELECT * FROM seen", "--json")[1].strip() == "[]"
    code, said = verb("doctor")
    assert code == 1
    assert "the tables of component.acme are set aside: its change for plugin/component.acme #1 raised" in said


@pytest.mark.parametrize("upcaster", ["1 / 0", "exit()", "None"])
def test_tables_of_a_plugin_whose_upcaster_fails_are_set_aside(upcaster, verb, people, install_plugin):
    see(people)
    source = indexed("def change(db, name, event): ...", "events=(Second,)")
    install_plugin(
        source.replace("schema = 2", f"schema = 2\n    upcasters = {{1: lambda _: {upcaster}}}"), "component.acme"
    )
    with pytest.warns(PluginWarning, match="are set aside"):
        assert verb("index", "query", "SELECT * FROM datasets")[0] == 0


def test_tables_are_set_aside_when_an_event_of_ours_cannot_change_them_and_ours_are_changed(
    verb, people, install_plugin
):
    install_plugin(indexed(CHANGES["raises"]), "component.acme")
    assert verb("data", "tag", "people@1", "first")[0] == 0
    with pytest.warns(PluginWarning, match=r"dataset/people #4"):
        answer = verb("index", "query", "SELECT tag FROM tags")
    assert answer[0] == 0
    assert "first" in answer[1]


@pytest.mark.parametrize("fields", ["edges=lambda index: ()", "holdings=lambda: ()"])
def test_while_tables_are_set_aside_nothing_is_erased_on_what_they_say(fields, verb, people, install_plugin):
    see(people)
    install_plugin(indexed(CHANGES["raises"], fields), "component.acme")
    with pytest.warns(PluginWarning, match="set aside"):
        code, said = verb(*FORGET)
    assert code != 0
    assert "are set aside: its change for plugin/component.acme #1 raised" in said
    assert "mlopsfw index rebuild" in said
    assert left(people) == UNTOUCHED


def test_while_tables_are_set_aside_nothing_is_vacuumed_on_what_they_say(verb, people, install_plugin):
    see(people)
    install_plugin(indexed(CHANGES["raises"], "needs=lambda dataset: ()"), "component.acme")
    with pytest.warns(PluginWarning, match="set aside"):
        code, said = verb(*VACUUM)
    assert code != 0
    assert "are set aside" in said
    assert left(people) == UNTOUCHED


def test_a_rebuild_takes_up_tables_that_were_set_aside(verb, people, install_plugin, tmp_path):
    see(people)
    module = install_plugin(indexed(CHANGES["raises"]), "component.acme")
    with pytest.warns(PluginWarning, match="set aside"):
        verb("index", "query", "SELECT 1")
    (file,) = tmp_path.rglob(f"{module}.py")
    file.write_text(indexed("def change(db, name, event): db.execute('INSERT INTO seen VALUES (1)')"))
    sys.modules.pop(module)
    importlib.invalidate_caches()
    assert verb("index", "rebuild")[0] == 0
    assert json.loads(verb("index", "list", "seen", "--json")[1]) == [{"n": 1}]
    assert "are set aside" not in verb("doctor")[1]


BODIES = {
    "a wrong type": ({"n": "x"}, "got `str` - at `$.n`"),
    "a missing field": ({}, "missing required field `n`"),
    "an unknown field": ({"n": 1, "rowz": 2}, "no field 'rowz'"),
}


@pytest.mark.parametrize(("body", "reason"), BODIES.values(), ids=BODIES)
def test_what_a_plugin_emits_is_checked_against_the_record_that_it_declares(body, reason, people, install_plugin):
    install_plugin(component("events=(Numbered,)").replace("class Place", f"{NUMBERED}class Place"), "component.acme")
    stream = "plugin/component.acme"
    with contextlib.closing(Project.open(people)) as project:
        host = project.host("component.acme")
        with pytest.raises(PluginError, match=re.escape(reason)) as caught:
            host.emit(stream, SEEN, body)
        assert f"component.acme emits a malformed {SEEN}" in caught.value.message
        assert "Numbered(…).body()" in caught.value.hint
        assert host.emit(stream, SEEN, {"n": 1}).seq == 1
        assert host.emit(stream, f"{SEEN}.undeclared", body).body == body


# -- what is released --------------------------------------------------------------------------------------------------


def test_bytes_that_another_owner_keeps_within_a_folder_stay_when_a_component_released_its_own(
    people, tmp_path, install_plugin
):
    install_plugin(
        component("events=(Seen,)").replace('.seen"\nclass Twin', '.seen"\n    rows: Blob = ""\nclass Twin'),
        "component.acme",
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "rows").write_bytes(b"equal bytes")
    with contextlib.closing(Project.open(people)) as project:
        rows = project.blobs.put(b"equal bytes")
        project.host("component.acme").emit("plugin/component.acme", "plugin.component.acme.seen", {"rows": rows})
        released = {"component.acme": {rows}}
        assert rows in collect(project.storage, project.ledger, released=released, grace=0, dry_run=True).deleted
        manifest = project.blobs.put_folder(folder)
        project.ledger.stream("run/a").append(PlainRecord("step.finished", {"folder": manifest}))
        collect(project.storage, project.ledger, released=released, grace=0)
        assert project.blobs.get(rows) == b"equal bytes"
        assert json.loads(project.blobs.get(manifest))
