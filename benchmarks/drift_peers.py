"""Runs a peer's drift report on two Parquet files, timed in its own process; for the peer's interpreter, not for ours.

    PYTHON drift_peers.py evidently|nannyml REFERENCE CURRENT

prints one JSON object: the seconds of the report alone (files read and libraries imported before), the peer's version, and what it said of
each column. Text columns are categorical, all others numeric. Usage reports are switched off before anything is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version

os.environ.update(DO_NOT_TRACK="1", NML_DISABLE_USAGE_LOGGING="1")

import pandas as pd


def evidently(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[float, list[dict]]:
    """Evidently's DataDriftPreset with nothing set but the columns' kinds."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    texts, numbers = kinds(reference)
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=texts)
    began = time.perf_counter()
    sides = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
    report = Report([DataDriftPreset()], include_tests=True).run(*sides)
    said = report.dict()
    seconds = time.perf_counter() - began
    status = {test["metric_config"]["params"].get("column"): test["status"] for test in said["tests"]}
    columns = []
    for metric in said["metrics"]:
        params = metric["config"]
        if "column" in params:
            name = params["column"]
            columns.append(
                {
                    "column": name,
                    "statistic": params["method"],
                    "value": float(metric["value"]),
                    "threshold": params["threshold"],
                    "drifted": "FAIL" in str(status[name]).upper(),
                }
            )
    return seconds, columns


def nannyml(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[float, list[dict]]:
    """NannyML's univariate drift with its defaults; its thresholds come from ten chunks of the reference."""
    import nannyml as nml

    texts, numbers = kinds(reference)
    began = time.perf_counter()
    calculator = nml.UnivariateDriftCalculator(
        column_names=[*numbers, *texts], treat_as_categorical=texts, chunk_number=10
    )
    calculator.fit(reference)
    frame = calculator.calculate(current).to_df()
    seconds = time.perf_counter() - began
    rows = frame[frame[("chunk", "chunk", "period")] == "analysis"]
    columns = [
        {"column": name, "statistic": method, "value": float(rows[(name, method, "value")].max())}
        for name, method, what in frame.columns
        if what == "value"
    ]
    return seconds, columns


def kinds(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The names of the text columns, and of the others."""
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return texts, [name for name in frame.columns if name not in texts]


def main() -> None:
    """Read, run, print."""
    peer, *files = sys.argv[1:]
    reference, current = (pd.read_parquet(file) for file in files)
    seconds, columns = {"evidently": evidently, "nannyml": nannyml}[peer](reference, current)
    print(json.dumps({"peer": peer, "version": version(peer), "seconds": seconds, "columns": columns}))


if __name__ == "__main__":
    main()
