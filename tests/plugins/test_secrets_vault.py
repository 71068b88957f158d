"""Vault: fields of KV version 2 over HTTP, every refusal told apart, and neither token nor value shown."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import msgspec
import pytest
from vault import TOKEN, Vault

from mlopsfw.errors import ConfigError, MlopsfwError, SecretUnavailable
from mlopsfw.privacy.secrets import SecretResolver
from mlopsfw.testing.secrets import SecretsConformance
from mlopsfw_secrets_vault import VaultConfig, mlopsfw_secrets

DB = "secret/data/db#password"


def opened(tmp_path, **options):
    (provider,) = mlopsfw_secrets()
    config = msgspec.convert({"token": "file:token", **options}, VaultConfig)
    return provider.build(config, SimpleNamespace(secrets=SecretResolver(tmp_path)))


@pytest.fixture
def server(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    made = Vault()
    yield made
    made.close()


@pytest.fixture
def store(server, tmp_path):
    return opened(tmp_path, address=server.address)


@pytest.mark.server
class TestVaultStore(SecretsConformance):
    @pytest.fixture
    def store(self, server, tmp_path):
        return opened(tmp_path, address=server.address)

    @pytest.fixture
    def write(self, server):
        return server.put

    @pytest.fixture
    def targets(self):
        return DB, "team/data/deep/er/path#api key"

    @pytest.fixture
    def unreachable(self, tmp_path):
        (tmp_path / "token").write_text(TOKEN)
        return opened(tmp_path, address="http://127.0.0.1:1")


@pytest.mark.server
def test_a_vault_on_this_machine_is_asked_past_the_proxies_of_the_environment(server, store, monkeypatch):
    """A proxy would see the token, and could answer in the Vault's stead."""
    proxy = Vault()
    proxy.put("secret/data/db#password", "of the proxy")
    server.put("secret/data/db#password", "of the vault")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.address)
    try:
        assert store.read("secret/data/db#password") == "of the vault"
        assert proxy.asked == []
    finally:
        proxy.close()


REFUSED = {
    "403": ((403, {"errors": ["permission denied"]}), ConfigError, "does not let this token read"),
    "404": ((404, {"errors": []}), ConfigError, f"vault:{DB} does not exist"),
    "deleted": ((404, {"data": {"data": None, "metadata": {"deletion_time": "2026-01-01T00:00:00Z", "destroyed": False}}}), ConfigError, "newest version was deleted"),
    "destroyed": ((404, {"data": {"data": None, "metadata": {"deletion_time": "", "destroyed": True}}}), ConfigError, "newest version was destroyed"),
    "a path of version 1": ((404, {"errors": [], "warnings": ["Invalid path for a versioned K/V secrets engine."]}), ConfigError, "needs /data/ after the mount"),
    "400": ((400, {"errors": ["unsupported path"]}), ConfigError, "(400)"),
    "a redirect": ((307, {}), ConfigError, "redirect (307), which is not followed"),
    "sealed": ((503, {"errors": ["Vault is sealed"]}), SecretUnavailable, "the Vault is sealed (503)"),
    "503": ((503, {"errors": []}), SecretUnavailable, "the Vault is not available (503)"),
    "502 of a proxy": ((502, b"<html>bad gateway</html>"), SecretUnavailable, "not available (502)"),
    "429": ((429, {"errors": ["request path kv: rate limit quota exceeded"]}), SecretUnavailable, "limits how often"),
    "no JSON": ((200, b"\xff{"), ConfigError, "is no secret of the KV engine, version 2"),
    "JSON of another form": ((200, [1]), ConfigError, "is no secret of the KV engine, version 2"),
    "KV version 1": ((200, {"data": {"password": "canary-v1"}}), ConfigError, "is no secret of the KV engine, version 2"),
    "another field": ((200, {"data": {"data": {"user": "canary-user"}, "metadata": {}}}), ConfigError, "has no field 'password'"),
    "a number": ((200, {"data": {"data": {"password": 5}, "metadata": {}}}), ConfigError, "is no text"),
    "errors that are none": ((500, {"errors": "canary-text"}), SecretUnavailable, "not available (500)"),
    "a long answer": ((200, b" " * (1 << 20) + b"{}"), SecretUnavailable, "more than 1,048,576 bytes"),
}  # fmt: skip


@pytest.mark.server
@pytest.mark.parametrize(("answer", "kind", "says"), REFUSED.values(), ids=REFUSED)
def test_each_refusal_is_told_apart_and_says_what_to_do(server, store, answer, kind, says):
    server.behaviour = (*answer, {"Location": "http://127.0.0.1:1/"} if answer[0] == 307 else {})
    with pytest.raises(MlopsfwError) as caught:
        store.read(DB)
    error = caught.value
    assert type(error) is kind
    assert says in error.message
    assert "secret/data/db" in error.message
    assert error.hint
    assert "canary" not in str(error)
    assert TOKEN not in str(error)


@pytest.mark.server
@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_server_that_does_not_finish_is_given_up_with_its_time(server, make_project, monkeypatch, how):
    server.behaviour = how
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    project = make_project(f'[secrets.vault]\naddress = "{server.address}"\ntoken = "env:VAULT_TOKEN"\ntimeout = 0.3\n')
    began = time.monotonic()
    with pytest.raises(MlopsfwError) as caught:
        project.secrets.resolve(f"vault:{DB}")
    assert time.monotonic() - began < 8
    said = {
        "hang": r"did not finish its answer in 0.3 s|did not answer: TimeoutError",
        "drip": "it did not return within 1.3 s",
    }
    assert re.search(said[how], str(caught.value))


@pytest.mark.server
def test_token_namespace_and_path_are_sent_as_vault_reads_them(server, tmp_path):
    server.put("secret/data/a b?c#x", "value")
    store = opened(tmp_path, address=f"{server.address}/", namespace="team/ml")
    assert store.read("secret/data/a b?c#x") == "value"
    ((headers, path),) = server.asked
    assert path == "/v1/secret/data/a%20b%3Fc"
    assert (headers["X-Vault-Token"], headers["X-Vault-Namespace"]) == (TOKEN, "team/ml")
    assert headers["X-Vault-Request"] == "true"


@pytest.mark.server
def test_a_token_that_was_changed_is_sent_at_the_next_read(server, store, tmp_path):
    server.put(DB, "value")
    (tmp_path / "token").write_text("old")
    with pytest.raises(ConfigError, match=r"does not let this token read .*\(403\)"):
        store.read(DB)
    (tmp_path / "token").write_text(TOKEN)
    assert store.read(DB) == "value"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://vault.acme.example:8200", "in the clear"),
        ("ftp://vault", "not an http or https URL"),
        ("https://ada:x@vault", "must not carry credentials"),
    ],
)
def test_an_address_to_which_a_token_must_not_go_is_refused_before_anything_is_sent(tmp_path, address, says):
    with pytest.raises(ConfigError, match=says):
        opened(tmp_path, address=address)


@pytest.mark.parametrize(
    "target", ["", "secret/data/db", "#password", "secret/data/db#", "secret//db#p", "a/../b#p", "/a#p"]
)
def test_a_target_of_another_form_is_refused_before_anything_is_sent(tmp_path, target):
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, address="https://vault.invalid").read(target)
    assert "vault:MOUNT/data/PATH#FIELD" in caught.value.hint


def test_a_server_whose_certificate_no_authority_signed_gets_no_token(tmp_path):
    import socket
    import ssl
    import subprocess
    import threading

    (tmp_path / "token").write_text(TOKEN)
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", files[0], "-out", files[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    got = []

    def serve(listening):
        taken, _ = listening.accept()
        with taken:
            try:
                with context.wrap_socket(taken, server_side=True) as secured:
                    got.append(secured.recv(1000))
            except OSError:
                got.append(b"")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        store = opened(tmp_path, address=f"https://localhost:{listening.getsockname()[1]}")
        with pytest.raises(SecretUnavailable) as caught:
            store.read(DB)
        thread.join(5)
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.message
    assert "SSL_CERT_FILE" in caught.value.hint
    assert got == [b""]
