"""The steps of the job, in the order in which they happen to a team; each is a verb of mlopsfw, printed as it would be typed."""

from __future__ import annotations

import argparse
import shlex
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
from prepare import HOME, departures, known_before_departure, observed, with_spare_time
from receiver import Receiver
from replay import Client, Tally, days, hours

from mlopsfw import Project
from mlopsfw.cli import run as mlopsfw
from mlopsfw.evaluation import auc
from mlopsfw.monitoring.events import WindowExamined
from mlopsfw.steps.join import JoinParams, as_of

REFUSED = 3
INPUTS = [
    *("departs", "carrier", "origin", "dest", "distance", "precip", "visib", "wind_speed", "humid"),
    *("airport_delay", "waiting", "carrier_delay", "plane_delay", "spare"),
]


class Story:
    """One run of the job."""

    def __init__(
        self, folder: Path, raw: dict[str, pl.DataFrame], receiver: Receiver, asked: argparse.Namespace
    ) -> None:
        self.folder, self.raw, self.receiver, self.asked = folder, raw, receiver, asked
        self.tally, self.rollout = Tally(), Tally()
        self.windows: list[dict] = []
        self.challengers: list[dict] = []
        self.added_until = date(2013, 1, 1)
        self.flights = self.as_asked()

    def verb(self, *words: str, allowed: tuple[int, ...] = (0,)) -> int:
        """Type a verb; end the job where it fails."""
        print(f"\n$ mlopsfw {shlex.join(words)}", flush=True)
        code = mlopsfw(list(words))
        if code not in allowed:
            raise SystemExit(f"mlopsfw {words[0]} ended with {code}")
        return code

    def as_asked(self) -> pl.DataFrame:
        """Return the flights of April to December with what was known an hour before each was due to leave: what a client would send.

        The joins are the pipeline's own, by the same lines of mlopsfw.toml.
        """
        flights = pl.scan_csv(self.raw["flights"].write_csv().encode(), null_values="NA")
        weather = pl.scan_csv(self.raw["weather"].write_csv().encode(), null_values="NA", infer_schema_length=None)
        weather = weather.with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC"))
        known = {"weather": observed(weather), **departures(flights)}
        others = {"weather": "weather", "airport": "airports", "carrier": "carriers", "plane": "planes"}
        rows = known_before_departure(flights, "2013-04-01", "2014-01-01")
        with Project.open(self.folder) as project:
            for step, other in others.items():
                params = msgspec.convert(project.config.steps[step].params, JoinParams)
                parts, *_ = as_of(rows.lazy(), known[other].lazy(), params)
                rows = pl.concat(parts)
        return with_spare_time(rows)

    # -- data, training, serving -----------------------------------------------------------------------------------------

    def add_data(self, until: date) -> None:
        """Add to the datasets what has been flown and observed since the last time, as raw CSV files."""
        day = pl.date(pl.col("year").cast(pl.Int32), pl.col("month").cast(pl.Int8), pl.col("day").cast(pl.Int8))
        new = self.raw["flights"].filter(day >= self.added_until, day < until)
        seen = pl.col("time_hour").str.to_datetime(time_zone="UTC").dt.convert_time_zone(HOME).dt.date()
        weather = self.raw["weather"].filter(seen >= self.added_until, seen < until)
        for name, rows, message in (("flights", new, "flown"), ("weather", weather, "observed")):
            file = f"{name}-until-{until}.csv"
            rows.write_csv(self.folder / file)
            words = ("--append", "--null", "NA", "--max-bad", "0.001", "-m", f"{message} before {until}")
            self.verb("data", "add", name, file, *words)
        self.verb("data", "check", "weather")
        self.added_until = until

    def train_and_serve(self) -> None:
        """January to March: data in, a search for the best model, which is judged, registered and served."""
        self.add_data(date(2013, 4, 1))
        self.verb("run")
        self.verb("runs", "trials", "latest", "--html", "search.html")
        self.first = self.judged()
        self.verb("deploy", "models:/delay@champion", "--name", "delay")

    def client(self, tally: Tally) -> Client:
        """Return a client of the endpoint as it is now."""
        with Project.open(self.folder) as project:
            return Client(project.endpoints.status("delay").url, "delay", INPUTS, tally)

    # -- the following months --------------------------------------------------------------------------------------------

    def replay(self, first: date, last: date, every: timedelta) -> None:
        """Ask for every flight in order; labels come a day later; each window that is over is examined."""
        print(
            f"\n-- replaying {self.flights.height:,} flights from {first} as requests over HTTP, one per departure hour"
        )
        client, previous, start = self.client(self.tally), None, first
        for flights in days(self.flights):
            day = flights["day"][0]
            if day >= last:
                break
            while day >= start + every:
                self.examine(start, start + every)
                start += every
            answered = self.ask(client, flights)
            if previous is not None:
                client.label(previous)
            previous = answered
        if start + every <= last:
            self.examine(start, start + every)

    def ask(self, client: Client, flights: pl.DataFrame) -> pl.DataFrame:
        """Ask for a day's flights hour by hour; return them with their predictions' ids."""
        answered = []
        for hour in hours(self.tampered(flights)):
            ids = client.predict(hour)
            answered.append(hour.head(len(ids)).with_columns(prediction_id=pl.Series(ids, dtype=pl.String)))
        return pl.concat(answered)

    def tampered(self, flights: pl.DataFrame) -> pl.DataFrame:
        """Return the flights, with two columns swapped where that was asked for."""
        if not self.asked.swap:
            return flights
        first, second = self.asked.swap
        return flights.rename({first: second, second: first})

    def examine(self, start: date, end: date) -> None:
        """Examine a window; where it alarms, train a challenger, unless the last one is too recent."""
        self.verb("monitor", "run", "delay", "--from", moment(start).isoformat(), "--to", moment(end).isoformat())
        with Project.open(self.folder) as project:
            events = project.people.show(list(project.ledger.stream("monitor/delay").events()))  # summaries are sealed
            found = [WindowExamined.of(event) for event in events if event.type == WindowExamined.type]
        known = {w["report"] for w in self.windows}
        new = [{**msgspec.structs.asdict(each), "day": str(start)} for each in found if each.report not in known]
        self.windows += new
        recent = self.challengers and end - date.fromisoformat(self.challengers[-1]["day"]) < timedelta(
            self.asked.patience
        )
        if any(body["alarm"] for body in new) and not recent:
            self.challenge(end)

    # -- the challenger --------------------------------------------------------------------------------------------------

    def challenge(self, today: date) -> None:
        """Train a challenger on the last 24 weeks; both models are judged on the last two, which neither has seen."""
        print(f"\n-- {today}: the alarm calls for a challenger")
        self.add_data(today)
        ago = lambda weeks: str(today - timedelta(weeks=weeks))  # noqa: E731
        changes = {
            "steps.prepare.params.start": ago(24),
            "steps.prepare.params.end": str(today),
            "steps.split.test": ago(2),
        }
        if self.asked.handicap:
            changes |= {"steps.train.features": '["distance"]', "steps.train.tune.trainers": '["boosted"]'}
        words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
        code = self.verb(*words, "run", allowed=(0, REFUSED))
        self.challengers.append({"day": str(today), "promoted": code == 0, **self.judged()})
        if code == 0:
            self.roll_out()
        else:
            print("-- the gate refused the challenger; the champion goes on serving")

    def judged(self) -> dict:
        """Return what the evaluation of the last run says of challenger and champion."""
        with Project.open(self.folder) as project:
            run = project.runs.ids()[0]
            metrics, search = (
                project.values.load(project.runs.artifact(f"runs:/{run}/{name}"), folder=self.folder)
                for name in ("evaluate.metrics", "train.search")
            )
        compare = metrics["compare"] or {}
        gain = {name: metrics["against_baseline"][name] for name in ("baseline", "gain", "low", "high")}
        return {
            **{name: metrics[name] for name in ("auc", "rows")},
            "interval": metrics["intervals"]["auc"],
            "baseline_auc": {name: each["auc"] for name, each in metrics["baseline"].items()},
            "against_baseline": gain,
            "against_champion": {name: compare[name] for name in ("gain", "low", "high") if compare},
            "champion_auc": compare.get("champion"),
            "trainer": search["best"]["params"]["trainer"],
            "trials": {each["params"]["trainer"]: each["value"] for each in search["trials"]},
        }

    def roll_out(self) -> None:
        """Roll the new champion out while requests keep coming."""
        asking, done = threading.Event(), threading.Event()
        sample = self.flights.head(50)

        def load() -> None:
            client = self.client(self.rollout)
            while not done.is_set():
                client.predict(sample, stamped=False)
                asking.set()

        thread = threading.Thread(target=load)
        thread.start()
        asking.wait(30)
        try:
            self.verb("deploy", "models:/delay@champion", "--name", "delay")
        finally:
            done.set()
            thread.join()

    # -- the end ---------------------------------------------------------------------------------------------------------

    def summary(self) -> dict:
        """Say what happened, from the ledger and from what the client and the receiver saw."""
        self.verb("data", "quarantine", "weather")
        self.verb("audit", "verify")
        self.verb("models", "list")
        self.verb("alerts", "list")
        alarms = [w for w in self.windows if w["alarm"]]
        with Project.open(self.folder) as project:
            pages = sorted((project.state / "reports" / "delay").glob("*.html"))
            store = project.storage.describe()
            aside = [row.reason for row in project.datasets.quarantine("weather")]
        found = {
            "windows": [
                {k: w[k] for k in ("day", "version", "rows", "alarm", "summary", "drifted", "metrics")}
                for w in self.windows
            ],
            "set_aside": aside,
            "alarms": len(alarms),
            "drifted": sorted({column for w in alarms for column in w["drifted"]}),
            "alerts_received": [f"{a['data']['state']}: {a['data']['title']}" for a in self.receiver.alerts.values()],
            "first_model": self.first,
            "challengers": self.challengers,
            "requests": self.tally.requests,
            "predictions": self.tally.rows,
            "labels": self.tally.labels,
            "failed": self.tally.failed + self.rollout.failed,
            "requests_during_rollouts": self.rollout.requests,
            "auc": self.before_and_after(),
            "page": str(pages[-1]) if pages else "",
            "store": store,
        }
        tell(found)
        return found

    def before_and_after(self) -> dict:
        """Return the AUC of the first and the last champion on the flights after the last roll-out, which neither was trained on."""
        promoted = [c for c in self.challengers if c["promoted"]]
        if not promoted:
            return {}
        since, until = (
            moment(day).astimezone(UTC) for day in (date.fromisoformat(promoted[-1]["day"]), self.asked.until)
        )
        rows = self.flights.filter(pl.col("scheduled").is_between(since, until, closed="left")).drop_nulls("late")
        with Project.open(self.folder) as project:
            scores = {}
            for name, version in (("before", "1"), ("after", "champion")):
                bundle = project.registry.resolve(f"models:/delay@{version}").bundle
                folder = project.blobs.get_folder(bundle, project.private_folder("scored") / name)
                answers = project.bundles.open(folder).predict_table(rows)["probability"]
                scores[name] = auc(rows["late"].to_numpy(), answers)
        return {**scores, "flights": rows.height, "since": promoted[-1]["day"]}

    def close(self) -> None:
        """Stop the endpoint."""
        with Project.open(self.folder) as project:
            if "delay" in project.endpoints.list():
                project.endpoints.stop("delay")


def moment(day: date) -> datetime:
    """Return the local midnight at which a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(HOME))


def tell(found: dict) -> None:
    """Print the summary."""
    print("\n== what happened " + "=" * 60)
    first = found["first_model"]
    print(f"first model, by {first['trainer']}: {judgement(first)}")
    print(f"in quarantine: {'; '.join(found['set_aside'])}")
    for window in found["windows"]:
        mark = "ALARM" if window["alarm"] else "  -  "
        metrics = window["metrics"]
        quality = f"AUC {metrics['auc']:.3f}, late {metrics['label_mean']:.1%}" if "auc" in metrics else ""
        print(
            f"{window['day']}  v{window['version']}  {window['rows']:>6,} rows  {mark}  {quality}  {window['summary']}"
        )
    print(
        f"\n{found['predictions']:,} predictions in {found['requests']:,} requests, {found['labels']:,} labels, {len(found['failed'])} failed"
    )
    print(f"{found['alarms']} windows alarmed; columns that drifted: {', '.join(found['drifted']) or 'none'}")
    print(f"{len(found['alerts_received'])} notices reached the webhook receiver:")
    for title in found["alerts_received"]:
        print(f"  - {title}")
    for c in found["challengers"]:
        verdict = "promoted and rolled out" if c["promoted"] else "refused"
        print(f"challenger of {c['day']}, by {c['trainer']}, {verdict}: {judgement(c)}")
    print(f"{found['requests_during_rollouts']} requests during roll-outs, {len(found['failed'])} failed")
    if found["auc"]:
        a = found["auc"]
        print(
            f"AUC on the {a['flights']:,} flights since {a['since']}: {a['before']:.4f} with the first model, {a['after']:.4f} with the last"
        )
    print(f"last page: {found['page']}\nledger and data: {found['store']}")


def judgement(judged: dict) -> str:
    """Return what an evaluation says, in a sentence."""
    line = judged["against_baseline"]
    says = f"AUC {judged['auc']:.4f} on {judged['rows']:,} later flights, {within(line)} over the {line['baseline']} baseline"
    if not judged["against_champion"]:
        return says
    return f"{says}, {within(judged['against_champion'])} over the champion's {judged['champion_auc']:.4f}"


def within(gain: dict) -> str:
    """Return a gain with its 95% interval."""
    return f"{gain['gain']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
