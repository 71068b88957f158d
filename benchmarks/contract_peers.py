"""Checks one Parquet file by a peer's rules, timed in its own process; for the peer's interpreter, not for ours.

    PYTHON contract_peers.py pandera|great_expectations FILE RULES

prints one JSON object: the seconds of the check alone (the table in memory, libraries imported, rules built before), the peer's version,
and how many rows break each rule. RULES is a JSON list of [rule, column, argument]. Usage reports are switched off before anything is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version

os.environ.update(DO_NOT_TRACK="1", GX_ANALYTICS_ENABLED="False")

Rules = list[tuple[str, str, object]]


def pandera(file: str, rules: Rules) -> tuple[float, dict[str, int]]:
    """A pandera.polars schema, lazily: every rule is evaluated, and every failure case gathered."""
    import pandera.polars as pa
    import polars as pl

    frame = pl.read_parquet(file)
    types = {"integer": pl.Int64, "number": pl.Float64, "string": pl.String}
    asked: dict[str, dict] = {name: {"nullable": True, "checks": []} for name in frame.columns}
    for rule, column, argument in rules:
        match rule:
            case "type":
                asked[column]["dtype"] = types[argument]
            case "nulls":
                asked[column]["nullable"] = False
            case "range":
                asked[column]["checks"].append(pa.Check.in_range(*argument))
            case "values":
                asked[column]["checks"].append(pa.Check.isin(argument))
            case "pattern":
                asked[column]["checks"].append(pa.Check.str_matches(f"^(?:{argument})$"))
            case "unique":
                asked[column]["unique"] = True
    schema = pa.DataFrameSchema({name: pa.Column(**options) for name, options in asked.items()})
    began = time.perf_counter()
    try:
        schema.validate(frame, lazy=True)
        cases = []
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.to_dicts()
    seconds = time.perf_counter() - began
    words = {
        "in_range": "range",
        "isin": "values",
        "str_matches": "pattern",
        "not_nullable": "nulls",
        "field_uniqueness": "unique",
    }
    found: dict[str, int] = {}
    for case in cases:
        rule = next(ours for theirs, ours in words.items() if str(case["check"]).startswith(theirs))
        found[f"{rule} {case['column']}"] = found.get(f"{rule} {case['column']}", 0) + 1
    return seconds, found


def great_expectations(file: str, rules: Rules) -> tuple[float, dict[str, int]]:
    """A suite on a pandas batch, with its default result format."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    frame = pd.read_parquet(file)
    context = gx.get_context(mode="ephemeral")  # first: a suite asks for it
    suite = gx.ExpectationSuite(name="bench")
    for rule, column, argument in rules:
        match rule:
            case "type":
                expected = {"integer": "int64", "number": "float64", "string": "str"}[str(argument)]
                suite.add_expectation(gxe.ExpectColumnValuesToBeOfType(column=column, type_=expected))
            case "nulls":
                suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column=column))
            case "range":
                low, high = argument
                suite.add_expectation(gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high))
            case "values":
                suite.add_expectation(gxe.ExpectColumnValuesToBeInSet(column=column, value_set=argument))
            case "pattern":
                suite.add_expectation(gxe.ExpectColumnValuesToMatchRegex(column=column, regex=f"^(?:{argument})$"))
            case "unique":
                suite.add_expectation(gxe.ExpectColumnValuesToBeUnique(column=column))
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = asset.add_batch_definition_whole_dataframe("b").get_batch({"dataframe": frame})
    began = time.perf_counter()
    result = batch.validate(suite)
    seconds = time.perf_counter() - began
    words = {
        "between": "range",
        "in_set": "values",
        "match_regex": "pattern",
        "not_be_null": "nulls",
        "be_unique": "unique",
    }
    found = {}
    for one in result.results:
        count = one.result.get("unexpected_count") or 0
        if count:
            rule = next(ours for theirs, ours in words.items() if theirs in one.expectation_config.type)
            found[f"{rule} {one.expectation_config.kwargs['column']}"] = count
    return seconds, found


def main() -> None:
    """Read, run, print."""
    peer, file, rules = sys.argv[1:]
    seconds, found = {"pandera": pandera, "great_expectations": great_expectations}[peer](file, json.loads(rules))
    print(json.dumps({"version": version(peer), "seconds": seconds, "found": found}))


if __name__ == "__main__":
    main()
