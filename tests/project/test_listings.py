"""Listings are contributed with the tables that they read, by the bundled rooms and by a plugin's component alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.project.components import bundled, index_parts

ORDERS = """
    import msgspec
    from mlopsfw import Provider, hookimpl
    from mlopsfw.components import Component, IndexPart, Listing
    class Options(msgspec.Struct, forbid_unknown_fields=True): ...
    def sent(db, name, event): db.execute("INSERT INTO orders VALUES (?, ?)", (name, event.body["amount"]))
    def build(config, host):
        listing = Listing({name!r}, "each order, the greatest first", {select!r})
        part = IndexPart(tables="CREATE TABLE orders (name TEXT, amount REAL)", changes={{("plugin", "plugin.component.acme.sent"): sent}},
                         listings=(listing,))
        return Component(name="acme", index=part)
    @hookimpl
    def mlopsfw_components():
        yield Provider("acme", Options, build)
"""
SELECT = "SELECT amount FROM orders ORDER BY amount DESC"


def orders(name="orders", select=SELECT):
    return ORDERS.format(name=name, select=select)


@pytest.fixture
def verb(make_project, monkeypatch, capsys):
    """Run a command line in a project; return its exit code, what it printed, and what it complained of."""

    def run_(*arguments):
        code = run(list(map(str, arguments)))
        said = capsys.readouterr()
        return code, said.out, said.err

    monkeypatch.chdir(make_project().root)
    return run_


def test_a_plugins_listing_is_listed_and_answers_beside_those_of_the_rooms(make_project, install_plugin, verb):
    install_plugin(orders(), "component.acme")
    project = make_project()
    for amount in (3.0, 7.0, 5.0):
        project.host("component.acme").emit("plugin/component.acme", "plugin.component.acme.sent", {"amount": amount})
    listed = {row["listing"]: row["rows"] for row in json.loads(verb("index", "list", "--json")[1])}
    assert listed["orders"] == "each order, the greatest first"
    assert {"metrics", "windows"} < listed.keys()
    assert json.loads(verb("index", "list", "orders", "--limit", 2, "--json")[1]) == [{"amount": 7.0}, {"amount": 5.0}]


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (orders(name="metrics"), "the listing 'metrics' is another component's"),
        (orders(select="SELECT amont FROM orders"), "no such column: amont"),
        (orders(select="SELECT amount FROM orders; DROP TABLE runs"), "tables or listings cannot be made"),
        (orders(select="DELETE FROM runs"), "tables or listings cannot be made"),
        (orders(select="SELECT amount FROM orders LIMIT 3"), "tables or listings cannot be made"),
    ],
)
def test_a_plugin_with_a_listing_that_cannot_be_asked_is_left_out_with_the_reason(
    make_project, install_plugin, made, problem
):
    install_plugin(made, "component.acme")
    with pytest.warns(RuntimeWarning, match=f"component.acme.* is left out: .*{problem}"):
        listings = make_project().index.listings
    assert "orders" not in listings


def test_the_listing_of_metrics_has_the_last_value_of_each_newest_run_first(project, verb):
    for name, auc in (("a", 0.6), ("b", 0.7)):
        stream = project.ledger.stream(f"run/{name}")
        stream.append(PlainRecord("run.started", {"pipeline": "flights"}), expecting=0)
        stream.append(
            PlainRecord("step.finished", {"step": "train", "attempt": 1, "outputs": {}, "metrics": {"auc": auc}})
        )
    rows = json.loads(verb("index", "list", "metrics", "--json")[1])
    assert [(row["run"], row["step"], row["name"], row["value"]) for row in rows] == [
        ("b", "train", "auc", 0.7),
        ("a", "train", "auc", 0.6),
    ]


def test_the_listing_of_windows_has_the_newest_first(project, verb):
    for day in (1, 2):
        window = {
            "monitor": "drift",
            "start": f"2013-04-0{day}",
            "end": f"2013-04-0{day + 1}",
            "rows": 5,
            "alarm": day == 2,
        }
        project.ledger.stream("monitor/delay").append(PlainRecord("window.examined", window))
    rows = json.loads(verb("index", "list", "windows", "--json")[1])
    assert [(row["start"], row["alarm"]) for row in rows] == [("2013-04-02", 1), ("2013-04-01", 0)]


def test_a_listing_that_is_not_there_is_an_error_with_the_nearest_name(project, verb):
    with pytest.raises(UnknownName, match="no listing 'metric'"):
        project.index.listing("metric", 5)
    code, _, err = verb("index", "list", "metric")
    assert (code, "metrics" in err) == (2, True)


def test_no_two_rooms_contribute_a_listing_of_one_name():
    names = [listing.name for part in index_parts(bundled(None)) for listing in part.listings]
    assert len(names) == len(set(names)) >= 2


def test_each_environments_store_has_an_index_of_its_own(verb, tmp_path):
    """Two stores with streams of equal lengths: a look at their objects does not tell them apart."""
    root = Path.cwd()
    with (root / "mlopsfw.toml").open("a") as config:
        config.write(f'\n[env.prod.storage.object]\nurl = "{(tmp_path / "prod").as_uri()}"\n')
    for value, environment in ((1, ()), (2, ("--env", "prod"))):
        (root / "rows.csv").write_text(f"a\n{value}\n")
        assert verb(*environment, "data", "add", "rows", "rows.csv")[0] == 0

    def digest(*environment):
        (row,) = json.loads(verb(*environment, "index", "query", "SELECT digest FROM datasets", "--json")[1])
        return row["digest"]

    here, prod = digest(), digest("--env", "prod")
    assert here != prod
    assert (digest(), digest("--env", "prod")) == (here, prod)
