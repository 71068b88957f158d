"""Secrets by reference: an empty one is refused where it arises, for every use, and no value shows in an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.privacy.secrets import LEAST_TOKEN, SecretResolver, checked_token
from mlopsfw.project.facade import Project

EMPTY = ["", " ", "\t", "\n", "\r\n", " \n \n", "\u2003"]


@pytest.mark.parametrize("value", EMPTY)
@pytest.mark.parametrize("kind", ["env", "file"])
def test_an_empty_secret_is_refused_wherever_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, value: str
) -> None:
    monkeypatch.setenv("TOK", value)
    (tmp_path / "TOK").write_text(value)
    with pytest.raises(ConfigError, match="TOK holds no secret"):
        SecretResolver(tmp_path).resolve(f"{kind}:TOK")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 100_000, None], ids=["no text", "long", "no file"])
def test_a_secret_file_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "TOK").write_bytes(content)
    with pytest.raises(ConfigError, match="secret file TOK"):
        SecretResolver(tmp_path).resolve("file:TOK")


def test_an_environment_variable_that_is_no_text_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOK", "\udcff" * 20)
    with pytest.raises(ConfigError, match="TOK is not UTF-8"):
        SecretResolver(tmp_path).resolve("env:TOK")


@pytest.mark.parametrize("use", ["encrypt", "privacy key", "storage option"])
def test_each_use_of_a_reference_refuses_an_empty_one(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    monkeypatch.setenv("TOK", " ")
    toml, act = {
        "encrypt": ('[storage]\nencrypt = "env:TOK"\n', lambda project: project.blobs.put(b"x")),
        "privacy key": ('[privacy]\nkey = "env:TOK"\n', lambda project: project.privacy.key),
        "storage option": (
            '[storage.object]\nurl = "s3://bucket/x"\noptions = { aws_secret_access_key = "env:TOK" }\n',
            lambda project: project.storage,
        ),
    }[use]
    with pytest.raises(ConfigError, match="TOK holds no secret"):
        act(make_project(toml))


@pytest.mark.parametrize("token", ["tiny", "b" * (LEAST_TOKEN - 1), "a" * 40, "a token with spaces in it", "tökentökentökentöken",
                                   "0123456789\n0123456789", "0123456789\x00012345"])  # fmt: skip
def test_a_token_that_protects_nothing_or_cannot_be_sent_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_token(token, "env:TOK", key="deployer.http.token", least=LEAST_TOKEN)
    assert "env:TOK" in str(caught.value)
    assert token not in str(caught.value)


def test_a_text_that_is_no_reference_is_revealed_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOK", "value")
    secrets = SecretResolver(tmp_path)
    assert [secrets.reveal(text) for text in ("env:TOK", "eu-west-1", "")] == ["value", "eu-west-1", ""]


def test_only_a_bearer_token_that_we_issued_must_be_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOK", "short")
    secrets = SecretResolver(tmp_path)
    assert secrets.bearer_token("env:TOK", key="k") == "short"
    with pytest.raises(
        ConfigError, match=f"k: the token of env:TOK is too short: it has 5 characters and needs at least {LEAST_TOKEN}"
    ):
        secrets.bearer_token("env:TOK", key="k", issued_here=True)


def test_a_token_of_sixteen_characters_is_taken() -> None:
    assert checked_token("0123456789abcdef", "env:TOK", key="k", least=LEAST_TOKEN) == "0123456789abcdef"
