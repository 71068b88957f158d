"""Secrets of a store: `SCHEME:TARGET` wherever `env:NAME` may stand, one way to resolve it, and no value kept or shown."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import jsonschema
import pytest

from mlopsfw.cli import run as cli
from mlopsfw.kernel.base.errors import ConfigError, PluginBroken, PluginError, SecretUnavailable
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.privacy.secrets import is_reference
from mlopsfw.project.config import load_config
from mlopsfw.project.config.schema import config_schema
from mlopsfw.project.deadlines import PluginTimeout

CANARY = "canary-0123456789abcdef"
SAFE = """
import msgspec, sys, threading, time
from mlopsfw import Provider, hookimpl
from mlopsfw.errors import ConfigError, SecretUnavailable

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pin: str = ""

class Safe:
    def __init__(self, config, host):
        self.config, self.host = config, host
    def read(self, target):
        BODY

@hookimpl
def mlopsfw_secrets():
    yield Provider("safe", Config, Safe, "Acme's safe")
"""
VALUES = f"""if target == "gone":
            raise ConfigError("safe:gone does not exist")
        if target == "shut":
            raise SecretUnavailable("safe:shut: nobody is here")
        return {{"db": {CANARY!r}, "url": "https://acme.example/{CANARY}", "key": "k" * 64}}.get(target, "value of " + target)
"""


@pytest.fixture
def safe(install_plugin):
    """Return an installer of the store `safe`, whose `read` has a body."""
    return lambda body=VALUES: install_plugin(SAFE.replace("BODY", body), "secrets.safe")


# -- wherever env:NAME may stand ------------------------------------------------------------------------------------------------

PLACES = {
    "an option of a storage": '[storage]\nuse = "acme"\n[storage.acme]\npassword = "{}"',
    "an option of an alerter": '[[alerter]]\nuse = "webhook"\nurl = "https://h/x"\nsecret = "{}"',
    "a header": '[steps.a]\nuse = "ingest"\ndataset = "d"\npath = "https://h/x.csv"\nheaders = {{ Authorization = "{}", X-Acme = "{}" }}',
    "a parameter": '[steps.a]\npython = "a:b"\n[steps.a.params]\napi_key = "{}"\ntokens = ["x"]\ncredentials = {{ value = "{}" }}',
    "the keys of blobs": '[storage]\nencrypt = "{}"',
    "keys of blobs in a list": '[storage]\nencrypt = ["env:NEW", "{}"]',
    "the key of hashes": '[privacy]\nkey = "{}"\n[data.d]\npii = {{ name = "hash" }}',
    "an overlay": '[env.prod.storage]\nuse = "acme"\n[env.prod.storage.acme]\npassword = "{}"',
    "a query of a URL": '[steps.a]\npython = "a:b"\n[steps.a.params]\nurl = "https://h/x?token={}"',
    "a connection string": '[steps.a]\npython = "a:b"\n[steps.a.params]\nwarehouse = "Server=db;Password={}"',
}


def load(folder, text, **more):
    (folder / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n\n{text}\n', encoding="utf-8")
    return load_config(folder / "mlopsfw.toml", **more)


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("scheme", ["env", "safe", "vault", "own", "declared"])
def test_a_reference_of_every_scheme_is_read_wherever_one_may_stand(tmp_path, safe, text, scheme):
    safe()
    (tmp_path / "mine.py").write_text(SAFE.replace('"safe"', '"own"'))
    known = '[plugins]\nmodules = ["mine"]\n[secrets.declared]\n'
    load(
        tmp_path, known + text.replace("{}", f"{scheme}:secret/data/db#password").replace("{{", "{").replace("}}", "}")
    )


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    ("scheme", "nearest"),
    [("valt", "Did you mean 'vault'?"), ("saef", "Did you mean 'safe'?"), ("bigcorp", "Known: env, file, safe")],
)
def test_an_unknown_scheme_is_an_error_with_the_nearest_and_what_to_install(tmp_path, safe, text, scheme, nearest):
    safe()
    written = text.replace("{}", f"{scheme}:{CANARY}").replace("{{", "{").replace("}}", "}")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, written)
    assert CANARY not in str(caught.value)
    assert caught.value.line
    if not text.startswith("[steps.a]\npython") or "credentials" in text:  # there it may be any credential
        assert nearest in caught.value.hint
        assert "entry point secrets.NAME" in caught.value.hint


def test_a_set_takes_a_reference_to_a_store_and_refuses_an_unknown_one(tmp_path, safe):
    safe()
    load(tmp_path, "", overrides=["storage.acme.password=safe:db"])
    with pytest.raises(ConfigError, match=r"--set storage\.acme\.password") as caught:
        load(tmp_path, "", overrides=[f"storage.acme.password=sfae:{CANARY}"])
    assert "Did you mean 'safe'?" in caught.value.hint
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["flights.csv", "https://h/x", "vault://h/x", "models:/m@1", "s3://b", "a b: c", "12:30", "vault:", "VAULT:x"],
)
def test_what_only_looks_so_is_no_reference(text):
    assert not is_reference(text, {"vault"})


@pytest.mark.parametrize("where", ["secrets", "env.prod.secrets"])
@pytest.mark.parametrize("option", ["token", "address", "pin"])
@pytest.mark.parametrize("reference", ["vault:a/data/b#c", "safe:b"])
def test_a_store_refers_to_no_store(tmp_path, safe, where, option, reference):
    safe()
    with pytest.raises(ConfigError, match="is a reference to a secret store, which a store's own options cannot be"):
        load(tmp_path, f'[{where}.vault]\n{option} = "{reference}"\n')
    load(tmp_path, f'[{where}.vault]\n{option} = "env:TOKEN"\n')


def test_the_host_of_a_store_resolves_local_references_alone_and_has_no_storage(safe, make_project, monkeypatch):
    safe(
        """
        if target == "blobs":
            return self.host.blobs.put(b"x")
        return self.host.secrets.resolve(target)
    """.strip()
    )
    monkeypatch.setenv("PIN", "1234")
    project = make_project()
    assert project.secrets.resolve("safe:env:PIN") == "1234"
    with pytest.raises(ConfigError, match="a secret must be a reference"):
        project.secrets.resolve("safe:safe:x")
    with pytest.raises(PluginError, match=r"secrets\.safe asked for blobs before the storage"):
        project.secrets.resolve("safe:blobs")


# -- one way to resolve ---------------------------------------------------------------------------------------------------------


def test_a_reference_is_resolved_by_its_store_at_every_use(safe, make_project):
    module = safe("self.n = getattr(self, 'n', 0) + 1; return f'{self.config.pin} {target} {self.n}'")
    project = make_project('[secrets.safe]\npin = "p"\n')
    assert module not in sys.modules
    assert [project.secrets.resolve("safe:a:b#c") for _ in range(2)] == ["p a:b#c 1", "p a:b#c 2"]
    assert project.secrets.reveal("safe:x") == "p x 3"
    assert project.secrets.reveal("plain") == "plain"


def test_the_storage_its_key_and_the_key_of_hashes_come_from_a_store(safe, make_project, tmp_path):
    safe(f"return {{'url': 'file:{tmp_path}/elsewhere', 'key': 'ab' * 32}}[target]")
    project = make_project(
        '[storage]\nencrypt = "safe:key"\n[storage.object]\nurl = "safe:url"\n[privacy]\nkey = "safe:key"\n'
    )
    digest = project.blobs.put(b"rows")
    assert project.blobs.get(digest) == b"rows"
    assert (tmp_path / "elsewhere").is_dir()
    assert len(project.privacy.key) == 32


def test_rows_are_added_from_a_database_that_a_store_names(safe, make_project, tmp_path, monkeypatch, capsys):
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as db, db:
        db.execute("create table t (a integer)")
        db.execute("insert into t values (7)")
    safe(f"return 'sqlite:///{tmp_path}/t.sqlite'")
    project = make_project()
    monkeypatch.chdir(project.root)
    for add in (["--sql", "safe:warehouse", "--table", "t"], ["safe:warehouse"]):
        code = cli(["data", "add", "d", *add])
        out = capsys.readouterr()
        assert f"{tmp_path}/t.sqlite" not in out.out + out.err
        assert code == (0 if "--sql" in add else 2)
    assert "to read a database, give either a query or a table" in out.err  # it was found to be one
    assert project.datasets.resolve("d").rows == 1


BAD = {
    "None": ("return None", "it returned None instead of str"),
    "bytes": (f"return {CANARY!r}.encode()", "it returned a bytes instead of str"),
    "a dict": (f"return {{'password': {CANARY!r}}}", "it returned a dict instead of str"),
    "empty": ("return ''", "what it returned holds no secret"),
    "white space": ("return ' \\n'", "what it returned holds no secret"),
    "half a pair": (f"return {CANARY!r} + '\\ud800'", "what it returned is not UTF-8"),
    "long": (f"return {CANARY!r} * 10000", "what it returned has more than 65,536 characters"),
    "an exception": ("raise KeyError(target)", "KeyError"),
    "sys.exit": ("sys.exit(3)", "would have ended mlopsfw"),
}


@pytest.mark.parametrize(("body", "says"), BAD.values(), ids=BAD)
def test_an_answer_that_is_no_secret_names_the_plugin_and_shows_nothing(safe, make_project, body, says):
    safe(body)
    with pytest.raises((PluginError, KeyError)) as caught:
        make_project().secrets.resolve("safe:db")
    text = repr(caught.value) + str(caught.value)
    assert says in text
    assert CANARY not in text
    assert any("secrets.safe" in note and note.endswith("in Secrets.read") for note in caught.value.__notes__)


def test_an_error_about_the_secret_names_no_plugin(safe, make_project):
    safe()
    project = make_project()
    for target, kind in {"gone": ConfigError, "shut": SecretUnavailable}.items():
        with pytest.raises(kind, match=f"safe:{target}") as caught:
            project.secrets.resolve(f"safe:{target}")
        assert not getattr(caught.value, "__notes__", [])


def test_a_store_that_hangs_is_given_up_in_its_time_and_named(safe, make_project):
    safe("time.sleep(3600)")
    project = make_project("[secrets.safe]\ntimeout = 0.1\n")
    began = time.monotonic()
    with pytest.raises(PluginTimeout, match=r"did not return within 1\.1 s") as caught:
        project.secrets.resolve("safe:db")
    assert time.monotonic() - began < 8
    assert any("secrets.safe" in note for note in caught.value.__notes__)


def test_a_store_has_thirty_seconds_where_its_table_says_nothing(safe, make_project):
    safe()
    assert make_project().secret_stores["safe"]._deadline._seconds == 30.0


@pytest.mark.parametrize("timeout", ["0", "-1", '"x"', "true"])
def test_a_time_limit_that_is_none_is_an_error_with_its_key(safe, make_project, timeout):
    safe()
    with pytest.raises(ConfigError, match=r"secrets\.safe\.timeout"):
        make_project(f"[secrets.safe]\ntimeout = {timeout}\n").secrets.resolve("safe:db")


@pytest.mark.parametrize("table", ["", "[secrets.safe]\n"])
def test_a_store_that_is_disabled_is_an_error_and_its_references_are_no_secrets_in_clear(safe, make_project, table):
    safe()
    project = make_project(
        f'[plugins]\ndisabled = ["secrets.safe"]\n{table}[storage]\nuse = "acme"\n[storage.acme]\npassword = "safe:db"\n'
    )
    with pytest.raises(PluginError, match="is disabled"):
        project.secrets.resolve("safe:db")


def test_a_table_of_what_is_not_installed_names_the_package_to_install(make_project):
    project = make_project('[secrets.valt]\naddress = "https://v"\n')
    with pytest.raises(ConfigError) as caught:
        project.secrets.resolve("valt:a/data/b#c")
    assert "no installed secret store is called 'valt'" in caught.value.message
    assert "Did you mean 'vault'?" in caught.value.hint
    assert "entry point secrets.valt" in caught.value.hint


def test_two_stores_of_one_scheme_are_an_error_that_names_both(safe, make_project):
    safe()
    safe()
    with pytest.raises(PluginError, match=r"acme-mlops-0 1\.2 .* and acme-mlops-1 1\.2"):
        make_project().secrets.resolve("safe:db")


@pytest.mark.parametrize("scheme", ["env", "file"])
def test_a_plugin_cannot_take_what_mlopsfw_reads_itself(install_plugin, make_project, monkeypatch, scheme):
    install_plugin(SAFE.replace('"safe"', f'"{scheme}"').replace("BODY", "return 'stolen'"), f"secrets.{scheme}")
    monkeypatch.setenv("TOK", "mine")
    project = make_project()
    (project.root / "TOK").write_text("mine")
    assert project.secrets.resolve(f"{scheme}:TOK") == "mine"
    (claim,) = [claim for claim in project.plugins.catalog.claims if claim.distribution == "acme-mlops-0"]
    assert f"the name '{scheme}' is mlopsfw's own" in claim.misnamed
    assert f"the name '{scheme}' is mlopsfw's own" in " ".join(each.message for each in project.doctor.examine())


def test_a_store_of_the_projects_own_code_is_a_store(make_project):
    project = make_project('[plugins]\nmodules = ["mine"]\n', mine=SAFE.replace("BODY", "return 'value of ' + target"))
    assert project.secrets.resolve("safe:x") == "value of x"


def test_a_store_that_cannot_be_imported_is_named(install_plugin, make_project):
    install_plugin("import nowhere", "secrets.safe")
    with (
        pytest.warns(RuntimeWarning, match=r"secrets\.safe.*is disabled"),
        pytest.raises(PluginBroken, match="nowhere"),
    ):
        make_project().secrets.resolve("safe:db")


# -- no value is kept or shown --------------------------------------------------------------------------------------------------


def test_no_value_stays_in_the_project_its_configuration_or_its_store(safe, make_project):
    safe("return '-'.join(('kept', 'nowhere', target))")
    project = make_project('[steps.a]\npython = "a:b"\n[steps.a.params]\ntoken = "safe:db"\n')
    project.ledger.stream("run/a").append(PlainRecord("run.started", {}))
    parts = ("kept", "nowhere", "db")
    assert project.secrets.resolve("safe:db") == "-".join(parts)
    assert project.secrets.bearer_token("safe:db", key="k") == "-".join(parts)
    assert list(asked(project))
    gc.collect()
    assert [each for each in gc.get_objects() if _holds(each, "-".join(parts))] == []
    assert "-".join(parts) not in project.config.to_json()
    files = [path for path in project.root.rglob("*") if path.is_file()]
    assert files
    assert all("-".join(parts).encode() not in path.read_bytes() for path in files)


def _holds(container, text):
    if type(container) not in (dict, list, tuple, set):
        return False
    items = container.values() if type(container) is dict else container
    return any(type(each) is str and each == text for each in items)


def test_the_trace_of_calls_shows_the_store_and_no_value(safe, make_project, tmp_path):
    safe()
    project = make_project()
    code = f"from mlopsfw.project.facade import Project\nfrom pathlib import Path\nProject.open(Path({str(project.root)!r})).secrets.resolve('safe:db')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(MLOPSFW_TRACE_PLUGINS="1"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "secrets.safe Secrets.read" in done.stderr
    assert CANARY not in done.stdout + done.stderr


def _environment(**more):
    import os

    return {**os.environ, **more}


# -- doctor ---------------------------------------------------------------------------------------------------------------------


def asked(project):
    return [each for each in project.doctor.examine() if each.check == "secrets"]


def test_doctor_resolves_each_reference_and_names_those_that_cannot_be(safe, make_project, monkeypatch):
    safe()
    monkeypatch.setenv("SET", "value")
    project = make_project(
        '[privacy]\nkey = "safe:gone"\n'
        '[[alerter]]\nname = "hook"\nuse = "webhook"\nurl = "safe:url"\nsecret = "env:UNSET"\n'
        '[observer.openlineage]\nurl = "safe:shut"\nsecret = "env:SET"\n'
        '[steps.a]\npython = "a:b"\n[steps.a.params]\ntoken = "safe:gone"\nkey_file = "file:nowhere"\nplace = "file:nowhere"\napi_key = "file:nowhere.key"\n'
    )  # fmt: skip
    found = {each.message: each for each in asked(project)}
    assert {each.level for each in found.values()} == {"error"}
    text = "\n".join(found)
    assert "steps.a.token, privacy.key: safe:gone does not exist" in text
    assert "alerter.0.secret: the environment variable UNSET is not set" in text
    assert "observer.openlineage.url: safe:shut: nobody is here" in text
    assert "steps.a.api_key: the secret file nowhere.key cannot be read" in text
    assert len(found) == 4
    assert CANARY not in text


def test_doctor_says_how_many_references_can_be_resolved_and_takes_the_place_of_a_storage_for_none(safe, make_project):
    safe()
    (answer,) = asked(
        make_project(
            '[storage.object]\nurl = "file:store"\n[steps.a]\npython = "a:b"\n[steps.a.params]\ntoken = "safe:db"\n'
        )
    )
    assert (answer.level, answer.message) == ("ok", "1 reference to a secret can be resolved")
    (answer,) = asked(make_project())
    assert (answer.level, answer.message) == ("ok", "no secret is referred to")


def test_doctor_names_the_store_whose_answer_is_no_secret(safe, make_project):
    safe("return ''")
    (answer,) = asked(make_project('[privacy]\nkey = "safe:db"\n'))
    assert "privacy.key: safe:db: what it returned holds no secret" in answer.message
    assert "secrets.safe" in answer.message


# -- start-up and listings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["env:TOKEN", ""])
def test_a_project_without_a_reference_to_a_store_loads_no_store(safe, make_project, monkeypatch, capsys, reference):
    module = safe("raise SystemExit")
    monkeypatch.setenv("TOKEN", "t" * 20)
    project = make_project(f'[privacy]\nkey = "{reference}"\n')
    monkeypatch.chdir(project.root)
    for verb in (["--help"], ["status"], ["models", "list"], ["doctor"]):
        cli(verb)
    capsys.readouterr()
    assert module not in sys.modules
    assert "mlopsfw_secrets_vault.store" not in sys.modules or "vault" not in project.secret_stores._built


def test_the_schema_knows_the_stores_and_their_time_limit(safe, project):
    safe()
    schema = jsonschema.Draft202012Validator(config_schema(project.plugins))
    assert schema.is_valid({"secrets": {"safe": {"pin": "env:PIN", "timeout": 3}}})
    assert schema.is_valid({"secrets": {"vault": {"address": "https://v", "token": "env:T", "timeout": 3.5}}})
    assert not schema.is_valid({"secrets": {"safe": {"timeout": "x"}}})
    assert not schema.is_valid({"secrets": {"vault": {"adress": "https://v", "token": "env:T"}}})


def test_an_error_of_a_store_reaches_the_terminal_as_one_line_and_its_code(safe, make_project, monkeypatch, capsys):
    safe()
    project = make_project('[storage.object]\nurl = "safe:shut"\n')
    monkeypatch.chdir(project.root)
    assert cli(["models", "list"]) == 1
    assert "safe:shut: nobody is here" in capsys.readouterr().err


def test_threads_that_ask_at_once_each_get_their_own_secret(safe, make_project):
    safe("time.sleep(0.005); return target")
    project = make_project()
    got = {}
    threads = [
        threading.Thread(target=lambda n=n: got.update({n: project.secrets.resolve(f"safe:{n}")})) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: str(n) for n in range(8)}
