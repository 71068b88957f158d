"""Files behind URLs: whole or not at all, once where nothing changed, and without a credential anywhere afterwards."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from dataclasses import replace
from email.utils import formatdate

import polars as pl
import pytest
from files_http import (
    answers,
    chunks,
    cuts_chunks,
    drops,
    drops_and_changes,
    hangs,
    http_files,
    packs,
    promises,
    redirects,
    tells_no_length,
)

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.kernel.base.errors import ConfigError, DataError, MlopsfwError, StorageUnavailable, UsageError
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.kernel.roles.source import SourceOptions, SourceRequest
from mlopsfw.testing.source import SourceConformance
from mlopsfw_source_http.source import HttpSource

pytestmark = pytest.mark.server

ROWS = pl.DataFrame({"id": range(5000), "name": [f"n{number}" for number in range(5000)]})
CSV = ROWS.write_csv().encode()
HERE = SourceOptions(allow_private=True, timeout=5.0)


@pytest.fixture
def server():
    with http_files() as running:
        yield running


@pytest.fixture
def add(project):
    def add(*urls, mode="replace", outside=HERE, **options):
        return project.datasets.add("d", urls, mode, outside=outside, **({"once": True} | options))

    return add


def rows(project):
    return project.datasets.scan("d").collect()


@pytest.fixture
def whole(project):
    """Assert that the dataset is the whole file."""
    return lambda: rows(project).equals(ROWS)


def test_a_file_comes_in_with_what_tells_whether_it_changes(server, add, whole):
    url = server.put("/in/day.csv", CSV, headers={"ETag": '"e1"', "Last-Modified": formatdate(0, usegmt=True)})
    version = add(url)
    assert whole()
    assert version.source == url
    assert version.origin["files"] == {url: {"etag": '"e1"', "modified": formatdate(0, usegmt=True), "size": len(CSV)}}


@pytest.mark.parametrize(
    "headers", [{"ETag": '"e1"'}, {"ETag": 'W/"e1"'}, {"Last-Modified": formatdate(0, usegmt=True)}]
)
def test_what_did_not_change_is_not_fetched_again_and_makes_no_version(server, add, headers):
    url = server.put("/day.csv", CSV, headers=headers)
    first, again = add(url), add(url)
    assert (first.version, again.version, again.new) == (1, 1, False)
    asked = server.seen[-1][1]
    assert asked.get("If-None-Match", asked.get("If-Modified-Since")) == next(iter(headers.values()))
    assert len(server.seen) == 2


def test_what_changed_is_fetched_and_makes_a_version(server, add, project):
    url = server.put("/day.csv", CSV)
    add(url)
    server.put("/day.csv", b"id,name\n1,x\n", headers={"ETag": '"two"'})
    assert add(url).version == 2
    assert rows(project).rows() == [(1, "x")]


@pytest.mark.parametrize("options", [{"csv": ReadOptions(types={"id": "string"})}, {"force": True}])
def test_a_file_that_did_not_change_is_read_again_where_it_is_read_otherwise(server, add, options):
    url = server.put("/day.csv", CSV)
    assert [add(url).version, add(url, **options).version] == [1, 2]


def test_a_server_that_tells_nothing_of_changes_is_read_each_time_and_the_same_rows_make_no_version(server, add):
    url = server.put("/day.csv", CSV, headers={})
    assert [add(url).new, add(url).new] == [True, False]
    assert "If-None-Match" not in server.seen[-1][1]


# -- connections that break ----------------------------------------------------------------------------------------------------


def test_a_dropped_connection_is_resumed_where_it_broke(server, add, whole):
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks += [drops(1000), drops(2000)]
    add(url)
    assert whole()
    assert [seen.get("Range") for _, seen in server.seen] == [None, "bytes=1000-", "bytes=3000-"]
    assert server.seen[1][1]["If-Range"] == '"one"'


@pytest.mark.parametrize("facts", [{"ranges": False}, {"headers": {}}, {"headers": {"ETag": 'W/"weak"'}}])
def test_without_ranges_or_a_strong_etag_a_dropped_connection_is_begun_anew(server, add, whole, facts):
    url = server.put("/day.csv", CSV, **facts)
    server.files["/day.csv"].tricks.append(drops(1000))
    add(url)
    assert whole()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changes_on_the_way_is_an_error(server, add, project, ranges):
    url = server.put("/day.csv", CSV, ranges=ranges)
    server.files["/day.csv"].tricks.append(drops_and_changes(1000))
    with pytest.raises(DataError, match="changed while mlopsfw read it"):
        add(url)
    assert project.datasets.newest() == []


@pytest.mark.parametrize("trick", [chunks, packs])
def test_chunked_and_packed_answers_are_read(server, add, whole, trick):
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks.append(trick)
    add(url)
    assert whole()


def test_a_cut_in_chunks_is_noticed_and_resumed(server, add, whole):
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks.append(cuts_chunks)
    add(url)
    assert whole()


def test_a_length_that_is_too_long_is_an_error(server, add):
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks += [promises(len(CSV) + 5), answers(416)]
    with pytest.raises(DataError, match="shorter than the"):
        add(url)


def test_an_answer_without_length_or_end_is_refused_since_a_cut_would_not_be_noticed(server, add):
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks.append(tells_no_length)
    with pytest.raises(DataError, match="neither length nor end"):
        add(url)


def test_a_hanging_server_is_left_after_the_time_out_and_tried_again(server, add, whole):
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks.append(hangs(3))
    start = time.monotonic()
    add(url, outside=SourceOptions(allow_private=True, timeout=0.3))
    assert whole()
    assert time.monotonic() - start < 3


def test_a_server_that_asks_for_patience_is_given_it(server, add, whole):
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks += [answers(503, Retry_After="1"), answers(429, Retry_After="0")]
    start = time.monotonic()
    add(url)
    assert whole()
    assert time.monotonic() - start >= 1


def test_a_server_that_asks_for_an_hour_is_not_waited_for(server, add):
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks.append(answers(503, Retry_After="3600"))
    with pytest.raises(StorageUnavailable, match="the server asks for a pause of 3600 s"):
        add(url)


def test_tries_come_to_an_end(server, add, project, monkeypatch):
    monkeypatch.setattr("mlopsfw.data.intake.download._FIRST", 0.001)
    url = server.put("/day.csv", CSV)
    server.files["/day.csv"].tricks += [drops(10)] * 5
    with pytest.raises(StorageUnavailable, match="could not be read in 5 attempts"):
        add(url)
    assert project.datasets.newest() == []
    assert list(project.private_folder("scratch").iterdir()) == []


# -- redirects and addresses -----------------------------------------------------------------------------------------------------


def test_redirects_are_followed_and_no_credential_goes_to_another_host(server, add, whole, monkeypatch):
    monkeypatch.setenv("AUTH", "Bearer canary-55e1")
    with http_files() as other:
        target = other.put("/real.csv", CSV)
        url = server.put(
            "/download", b"", tricks=[redirects("/again"), redirects("/again")], wants="Bearer canary-55e1"
        )
        server.put("/again", b"", tricks=[redirects(target)], wants="Bearer canary-55e1")
        add(url, outside=SourceOptions(allow_private=True, headers={"Authorization": "env:AUTH"}))
        assert whole()
        assert [seen.get("Authorization") for _, seen in server.seen] == ["Bearer canary-55e1"] * 2
        assert [seen.get("Authorization") for _, seen in other.seen] == [None]


def test_redirects_are_bounded(server, add):
    url = server.put("/round.csv", b"", tricks=[redirects("/round.csv")] * 10)
    with pytest.raises(DataError, match="more than 5 redirects"):
        add(url)


def test_https_does_not_lead_to_http_and_its_certificate_is_verified(server, add, tmp_path, monkeypatch, whole):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with http_files(certificate, key) as safe:
        url = safe.put("/day.csv", CSV)
        with pytest.raises(DataError, match="CERTIFICATE_VERIFY_FAILED"):
            add(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        add(url)
        assert whole()
        away = safe.put("/away.csv", b"", tricks=[redirects(server.put("/day.csv", CSV))])
        with pytest.raises(DataError, match="from https to http"):
            add(away)


def test_a_private_address_is_refused_unless_it_is_allowed(server, add):
    with pytest.raises(DataError, match="not a public address"):
        add(server.put("/day.csv", CSV), outside=SourceOptions())
    assert server.seen == []


def test_a_public_address_does_not_lead_to_a_private_one_though_private_ones_are_allowed(server, add, monkeypatch):
    monkeypatch.setattr("mlopsfw.http.route.is_public", lambda address: address == "127.0.0.1")
    with pytest.raises(DataError, match=r"127\.0\.0\.2, which is not a public address") as caught:
        add(server.put("/x.csv", b"", tricks=[redirects("http://127.0.0.2:80/secret")]))
    assert "public address redirected" in caught.value.hint


@pytest.mark.parametrize(
    "headers", [{"ETag": "no quotes"}, {"ETag": '"' + "x" * 300 + '"'}, {"Last-Modified": "yesterday"}]
)
def test_what_is_no_etag_or_date_is_neither_kept_nor_sent(server, add, whole, headers):
    url = server.put("/day.csv", CSV, headers=headers)
    assert add(url).origin["files"] == {url: {"size": len(CSV)}}
    assert not add(url).new
    assert whole()


# -- what is there, and what is not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "hint"), [(404, "Correct the URL"), (403, "--header Authorization=env:NAME"), (418, "")]
)
def test_a_refusal_says_what_to_do(server, add, status, hint):
    url = server.put("/day.csv", CSV, tricks=[answers(status)])
    with pytest.raises(DataError, match=f"answered {status}") as caught:
        add(url)
    assert hint in caught.value.hint


def test_an_error_within_the_file_names_the_url_and_the_line(server, add, project):
    url = server.put("/day.csv", b"id,name\n1,a\n2\n")
    with pytest.raises(DataError, match=f"{url}:3:") as caught:
        add(url)
    assert str(project.root) not in str(caught.value)


def test_packed_files_parquet_and_media_types_are_read(server, add, project, tmp_path):
    ROWS.write_parquet(tmp_path / "x.parquet")
    for path, body, headers in [
        ("/x.csv.gz", gzip.compress(CSV), {}),
        ("/x.parquet", (tmp_path / "x.parquet").read_bytes(), {}),
        ("/export?as=csv", CSV, {"Content-Type": "text/csv; charset=utf-8"}),
    ]:
        server.put(path.partition("?")[0], body, headers=headers)
        add(server.put("/other", b"").replace("/other", path), force=True)
        assert rows(project).equals(ROWS)


def test_a_bomb_behind_a_url_is_one_too(server, add, monkeypatch):
    monkeypatch.setattr("mlopsfw.data.intake.decompress._HARMLESS", 1 << 20)
    url = server.put("/x.csv.gz", gzip.compress(b"a\n" + b"1\n" * (2 << 20)))
    with pytest.raises(DataError, match="over 200 times its size"):
        add(url)


def test_bad_rows_behind_a_url_go_to_quarantine(server, add, project):
    url = server.put("/day.csv", b"id,name\n" + b"1,a\n" * 99 + b"1\n")
    version = add(url, mode=Change(mode="replace", max_bad=0.1))
    assert version.intake["quarantined"] == 1
    assert [(bad.source, bad.line) for bad in project.datasets.quarantine("d")] == [("day.csv", 101)]


# -- credentials -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://me:canary-9@host/x.csv",
        "https://host/x.csv?X-Amz-Signature=canary-9",
        "https://host/x.csv?token=canary-9",
    ],
)
def test_a_credential_in_a_url_is_refused_and_not_repeated(add, url):
    with pytest.raises(MlopsfwError) as caught:
        add(url)
    assert isinstance(caught.value, UsageError)
    assert "canary-9" not in str(caught.value)


def test_a_header_that_is_no_reference_is_refused(add):
    with pytest.raises(ConfigError, match="the header Authorization contains its value") as caught:
        add("https://host/x.csv", outside=SourceOptions(headers={"Authorization": "Bearer canary-9"}))
    assert "canary-9" not in str(caught.value)


def test_no_credential_is_in_any_file_of_the_project_afterwards(server, add, project, monkeypatch):
    from mlopsfw.governance.text_search import files_with

    secret = "canary-2f61c0"
    url = server.put("/day.csv", CSV, wants=f"Bearer {secret}")
    monkeypatch.setenv("AUTH", f"Bearer {secret}")
    monkeypatch.setenv("SIGNED", f"{url}?sig={secret}")
    outside = SourceOptions(allow_private=True, headers={"Authorization": "env:AUTH"})
    assert add("env:SIGNED", outside=outside).source == url
    server.files["/day.csv"].tricks += [drops(1000), answers(404)]
    server.files["/day.csv"].headers["ETag"] = '"two"'
    with pytest.raises(DataError) as caught:
        add("env:SIGNED", outside=outside, force=True)
    assert secret not in str(caught.value)
    assert files_with(project.root, [secret]) == []


def test_the_command_reads_a_url_of_a_private_host_and_says_when_nothing_changed(server, tmp_path):
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    url = server.put("/day.csv", CSV, wants="Bearer canary-77")
    command = [sys.executable, "-m", "mlopsfw", "data", "add", "d", url, "--header", "Authorization=env:AUTH"]
    environment = os.environ | {"AUTH": "Bearer canary-77"}
    said = [
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said[0].startswith("data:/d@1: 5,000 rows")
    assert said[1].startswith("Nothing new: data:/d@1")
    assert [seen.get("If-None-Match") for _, seen in server.seen] == [None, '"one"']


class TestHttp(SourceConformance):
    @pytest.fixture
    def source(self):
        return HttpSource()

    @pytest.fixture
    def secret(self):
        return "canary-3b7a"

    @pytest.fixture
    def place(self, server, secret):
        url = server.put("/in/day.csv", CSV, wants=f"Bearer {secret}")
        options = SourceOptions(headers={"Authorization": f"Bearer {secret}"}, allow_private=True)
        return SourceRequest(url=f"{url}?sig={secret}", named="env:SIGNED", options=options)

    @pytest.fixture
    def content(self):
        return {"day.csv": CSV}

    @pytest.fixture
    def missing(self, server, place, secret):
        return replace(place, url=server.put("/x", b"").replace("/x", f"/gone.csv?sig={secret}"))

    @pytest.fixture
    def change(self, server):
        return lambda: server.files["/in/day.csv"].headers.update(ETag='"two"')
