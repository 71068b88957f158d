"""Secrets in clear are refused when the file, or an override, is read: by the option's name, and by what stands in a text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.privacy.credentials import credential_in, is_secret_name, redacted
from mlopsfw.project.config import load_config

CANARY = "canary-7f3d9a61c2"

CLEAR = {
    "an option of a plugin": f'[[alerter]]\nuse = "webhook"\n[alerter.webhook]\nurl = "https://h/x"\nsecret = "{CANARY}"',
    "a plugin that is not installed": f'[storage]\nuse = "acme"\n[storage.acme]\npassword = "{CANARY}"',
    "a list": f'[steps.a]\npython = "a:b"\n[steps.a.params]\napi_keys = ["{CANARY}"]',
    "a table below a secret's name": f'[steps.a]\npython = "a:b"\n[steps.a.credentials]\nvalue = "{CANARY}"',
    "another spelling": f'[steps.a]\npython = "a:b"\nwarehouse.apiKey = "{CANARY}"',
    "a header": f'[steps.a]\nuse = "ingest"\npath = "https://h/x.csv"\nheaders = {{ Authorization = "Bearer {CANARY}" }}',
    "an own header": f'[steps.a]\nuse = "ingest"\npath = "https://h/x.csv"\nheaders = {{ X-Acme = "{CANARY}" }}',
    "a password in a URL": f'[steps.a]\nuse = "ingest"\npath = "postgresql://ada:{CANARY}@db/sales"',
    "a user in a URL": f'[steps.a]\nuse = "ingest"\npath = "https://{CANARY}@h/x.csv"',
    "a token in a query": f'[steps.a]\nuse = "ingest"\npath = "https://h/x.csv?token={CANARY}"',
    "a signature in a query": f'[storage]\nuse = "object"\n[storage.object]\nurl = "az://c/x?sig={CANARY}"',
    "a signed URL of S3": f'[steps.a]\nuse = "ingest"\npath = "https://h/x.csv?X-Amz-Signature={CANARY}"',
    "an option of a bucket": f'[storage]\nuse = "object"\n[storage.object]\nurl = "s3://b/x"\noptions = {{ aws_secret_access_key = "{CANARY}" }}',
    "an alerter's URL": f'[[alerter]]\nuse = "webhook"\n[alerter.webhook]\nurl = "https://hook:{CANARY}@h/x"',
    "a webhook of Slack": f'[[alerter]]\nuse = "webhook"\n[alerter.webhook]\nurl = "https://hooks.slack.com/services/T0/B0/{CANARY}"',
    "a webhook of Discord": f'[observer.acme]\nurl = "https://discord.com/api/webhooks/1/{CANARY}"',
    "a webhook of Teams": f'[steps.a]\npython = "a:b"\n[steps.a.params]\nnotify = "https://acme.webhook.office.com/webhookb2/{CANARY}"',
    "a bot of Telegram": f'[steps.a]\npython = "a:b"\n[steps.a.params]\nnotify = "https://api.telegram.org/bot1:{CANARY}/sendMessage"',
    "a connection string": f'[steps.a]\npython = "a:b"\nwarehouse = "Server=db;User Id=ada;Password={CANARY}"',
    "an overlay that is not chosen": f'[env.prod.storage]\nuse = "acme"\n[env.prod.storage.acme]\npassword = "{CANARY}"',
}


def load(folder, text, **more):
    file = folder / "mlopsfw.toml"
    file.write_text(f'[project]\nname = "p"\n\n{text}\n', encoding="utf-8")
    return load_config(file, **more)


@pytest.mark.parametrize("text", CLEAR.values(), ids=CLEAR)
def test_a_secret_in_clear_is_refused_with_its_line_and_is_not_repeated(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert CANARY not in str(caught.value)
    assert "mlopsfw.toml:" in str(caught.value)
    assert "env:NAME" in caught.value.hint


@pytest.mark.parametrize(
    "override",
    [f"alerter.0.webhook.secret={CANARY}", f"steps.a.path=https://u:{CANARY}@h/x", f"storage.acme.password={CANARY}"],
)
def test_an_override_in_clear_is_refused_and_is_not_repeated(tmp_path, override):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "", overrides=[override])
    assert CANARY not in str(caught.value)
    assert "--set" in str(caught.value)


FINE = {
    "a reference": '[storage]\nuse = "acme"\n[storage.acme]\npassword = "env:PW"\nprivate_key = "file:key.pem"',
    "names that only sound so": '[steps.a]\npython = "a:b"\n[steps.a.params]\nmax_tokens = 9\ntokenizer = "bpe"\ntoken_column = "t"\npad_token = "<pad>"\nkeys = ["id"]\nkey = "id"',
    "columns called so": '[data.users]\npii = { password = "drop", api_key = "mask" }',
    "an empty text, a number, a truth value": '[storage]\nuse = "acme"\n[storage.acme]\npassword = ""\nuse_token = true\ntoken_seconds = 30',
    "a step or an input called so": '[steps.secret]\npython = "a:b"\n[steps.b]\npython = "a:b"\ninputs = { token = "secret" }',
    "a URL with a port and a query": '[steps.a]\nuse = "ingest"\npath = "https://h:8080/x.csv?page=2&author=ada"',
    "a page of Slack's and a webhook by reference": '[steps.a]\npython = "a:b"\n[steps.a.params]\npage = "https://api.slack.com/messaging"\nhook = "env:HOOK"\nserver = "https://discord.com/channels/1"',
    "a database without a password": '[steps.a]\nuse = "ingest"\npath = "postgresql://ada@db:5432/sales"',
    "a mail address": '[steps.a]\npython = "a:b"\n[steps.a.params]\nto = "ada@example.org"\ntext = "see https://h/@ada: now"',
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_what_is_no_secret_is_read(tmp_path, text):
    load(tmp_path, text)


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "db-password", "apiKey", "aws_secret_access_key", "sasToken", "token"]
)
def test_names_of_secrets(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["tokens_per_batch", "tokenizer", "primary_key", "key", "passes", "author", "secretary_id"]
)
def test_names_that_only_sound_like_secrets(name):
    assert not is_secret_name(name)


def test_what_is_found_in_a_text_is_told_without_its_value():
    assert CANARY not in credential_in(f"https://h/x?api_key={CANARY}") != ""


WEBHOOKS = [
    "hooks.slack.com{}/services/T0/B0/", "discord.com{}/api/webhooks/1/", "discord.com{}/api/v10/webhooks/1/",
    "ptb.discordapp.com{}//api/webhooks/1/", "acme.webhook.office.com{}/webhookb2/", "outlook.office.com{}/webhook/",
    "api.telegram.org{}/bot1:",
]  # fmt: skip


@pytest.mark.parametrize("spelling", [str, str.upper], ids=["small", "capitals"])
@pytest.mark.parametrize("end", ["", ":443", ".", ".:443", ":"])
@pytest.mark.parametrize("place", WEBHOOKS)
def test_a_webhooks_url_is_known_by_its_host_in_any_spelling(place, end, spelling):
    host, _, path = place.partition("/")
    url = f"https://{spelling(host).format(end)}/{path}{CANARY}"
    assert credential_in(url) == "a webhook's URL, whose path is its secret"
    assert CANARY not in redacted(f"POST {url} failed")


def test_a_webhooks_url_in_a_text_for_people_ends_after_its_place():
    shown = redacted(f"POST https://hooks.slack.com/services/T0/B0/{CANARY} failed, and https://h/x too")
    assert shown == "POST https://hooks.slack.com/services/… failed, and https://h/x too"


DOORS = {
    "run": ["run", "--set", f"steps.a.api_token={CANARY}"],
    "a database": ["data", "add", "t", "--sql", f"postgresql://ada:{CANARY}@127.0.0.1:9/x", "--query", "select 1"],
    "a file behind a URL": ["data", "add", "t", f"https://ada:{CANARY}@127.0.0.1:9/x.csv"],
    "a signed URL": ["data", "add", "t", f"https://127.0.0.1:9/x.csv?X-Amz-Signature={CANARY}"],
    "a header": ["data", "add", "t", "https://127.0.0.1:9/x.csv", "--header", f"Authorization=Bearer {CANARY}"],
    "an option": ["data", "add", "t", "s3://b/x.csv", "--option", f"aws_secret_access_key={CANARY}"],
    "a reference": ["data", "add", "t", "--reference", f"https://ada:{CANARY}@127.0.0.1:9/x.parquet"],
    "export": ["export", f"s3://ada:{CANARY}@b/x"],
    "import": ["import", f"https://ada:{CANARY}@127.0.0.1:9/x"],
    "an option of import": ["import", "s3://b/x", "--option", f"aws_secret_access_key={CANARY}"],
    "drift": ["drift", f"https://ada:{CANARY}@127.0.0.1:9/a.csv", "b.csv"],
    "predict": ["predict", "m", f"https://ada:{CANARY}@127.0.0.1:9/a.csv", "--out", "o.parquet"],
    "labels": ["labels", "add", f"https://ada:{CANARY}@127.0.0.1:9/a.csv", "--model", "m"],
    "a contract": ["data", "check", "t", "--contract", f"https://ada:{CANARY}@127.0.0.1:9/c.toml"],
    "lineage": ["lineage", f"https://ada:{CANARY}@127.0.0.1:9/x"],
    "an option of export": ["export", "s3://b/x", "--option", f"aws_secret_access_key={CANARY}"],
}


@pytest.mark.parametrize("words", DOORS.values(), ids=DOORS)
def test_a_secret_given_on_the_command_line_is_neither_shown_nor_kept(tmp_path, words):
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n[steps.a]\npython = "work:run"\n')
    (tmp_path / "work.py").write_text("def run():\n    return 1\n")
    subprocess.run([sys.executable, "-m", "mlopsfw", "run"], cwd=tmp_path, check=True, capture_output=True)
    out = subprocess.run(
        [sys.executable, "-m", "mlopsfw", *words], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert out.returncode in (1, 2), out.stderr
    assert CANARY not in out.stdout + out.stderr
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and CANARY.encode() in file.read_bytes()]
    assert kept == []
