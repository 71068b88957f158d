"""How far apart two stored values are: number by number, within a tolerance. Equal digests need no look at all."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.values.codec import Values


TIMINGS = "timings"
"""In the facts of a JSON result: the keys that time the machine, so that they differ each time; `a.b` is `b` in `a`, or in each item of the list `a`."""


class Likeness:
    """Compares values of steps.

    Two numbers a and b are alike where |a − b| ≤ tolerance × max(1, |a|, |b|). NaN is like NaN, a null like a null, and an
    infinity like itself. What a step measured of the machine, such as a latency, is not compared: `timings` in the facts of its
    result names these keys. Everything else must be equal.

    Args:
        values: Reads the values.
        tolerance: Not negative; 0 asks for equal numbers.
    """

    def __init__(self, values: Values, tolerance: float) -> None:
        self._values, self.tolerance = values, tolerance

    def difference(self, old: Artifact, new: Artifact) -> str:
        """Return the first difference beyond the tolerance, in words; empty where there is none."""
        if old.kind != new.kind:
            return f"a {old.kind} became a {new.kind}"
        match old.kind:
            case "json":
                return self.of_json(*(_untimed(self._values.load(each), _timings(old, new)) for each in (old, new)))
            case "table":
                return self._tables(self._values.load(old), self._values.load(new))
            case "bundle":
                return self._bundles(old, new)
        return "" if old.digest == new.digest else f"the {old.kind} has another content"

    def is_another(self, old: Artifact | None, new: Artifact) -> bool:
        """Return whether a result is not the one that it was, in more than its timings. The tolerance counts for these results alone."""
        if old is None or old.digest == new.digest or not _timings(old, new):
            return old is None or old.digest != new.digest
        return bool(self.difference(old, new))

    def of_json(self, old: Any, new: Any, path: str = "") -> str:
        """Return the first difference between two JSON values, with its path."""
        if _is_number(old) and _is_number(new):
            return "" if self._alike(float(old), float(new)) else f"{path or 'the value'}: {old:.9g} became {new:.9g}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return self._mappings(old, new, path)
        if isinstance(old, list) and isinstance(new, list):
            if len(old) != len(new):
                return f"{path or 'the list'}: {len(old)} items became {len(new)}"
            parts = (self.of_json(a, b, f"{path}[{at}]") for at, (a, b) in enumerate(zip(old, new, strict=True)))
            return next(filter(None, parts), "")
        return "" if type(old) is type(new) and old == new else f"{path or 'the value'} differs"

    def _mappings(self, old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> str:
        for name in (*old, *new):
            at = f"{path}.{name}" if path else str(name)
            if name not in old or name not in new:
                return f"{at} is {'gone' if name in old else 'new'}"
            if difference := self.of_json(old[name], new[name], at):
                return difference
        return ""

    def _alike(self, old: float, new: float) -> bool:
        if math.isfinite(old) and math.isfinite(new):
            return abs(old - new) <= self.tolerance * max(1.0, abs(old), abs(new))
        return old == new or (math.isnan(old) and math.isnan(new))

    def _tables(self, old: pl.DataFrame, new: pl.DataFrame) -> str:
        if old.schema != new.schema:
            return "the table has other columns"
        if old.height != new.height:
            return f"{old.height:,} rows became {new.height:,}"
        return next(filter(None, (self._columns(old[name], new[name]) for name in old.columns)), "")

    def _columns(self, old: pl.Series, new: pl.Series) -> str:
        import polars as pl

        if old.dtype.is_nested():
            difference = self.of_json(old.to_list(), new.to_list(), old.name)
            return difference and f"column {difference}"
        unlike = old.ne_missing(new)
        if old.dtype.is_float():
            pair = pl.DataFrame({"a": old.cast(pl.Float64), "b": new.cast(pl.Float64)}).filter(unlike)
            allowed = self.tolerance * pl.max_horizontal(pl.lit(1.0), pl.col("a").abs(), pl.col("b").abs())
            finite = pl.col("a").is_finite() & pl.col("b").is_finite()
            near = finite & ((pl.col("a") - pl.col("b")).abs() <= allowed)
            count = pair.select((~near.fill_null(value=False)).sum()).item()
        else:
            count = unlike.sum()
        return f"column {old.name!r}: {count:,} of {old.len():,} values differ" if count else ""

    def _bundles(self, old: Artifact, new: Artifact) -> str:
        """Compare what two models are, their metrics, and their answers to the made-up rows that each keeps."""
        with tempfile.TemporaryDirectory(prefix="mlopsfw-compare-") as folder:
            place = Path(folder)
            return self.of_json(self._model(old, place / "old"), self._model(new, place / "new"))

    def _model(self, artifact: Artifact, folder: Path) -> dict[str, Any]:
        from mlopsfw.models.bundle.files import GOLDEN, read_listed, read_manifest

        folder.mkdir()
        place = self._values.load(artifact, folder=folder)
        manifest = read_manifest(place)
        golden = msgspec.json.decode(read_listed(place, manifest, GOLDEN), type=dict[str, Any])
        plain: dict[str, Any] = msgspec.to_builtins(manifest)
        kept = {name: plain[name] for name in ("task", "target", "inputs", "outputs", "classes")}
        return {**kept, "metrics": manifest.facts.get("metrics", {}), "golden": golden}


def _timings(*results: Artifact) -> set[str]:
    return {name for result in results for name in result.meta.get(TIMINGS, ())}


def _untimed(value: Any, timings: set[str]) -> Any:
    for timing in timings:
        value = _without(value, *timing.split("."))
    return value


def _without(value: Any, name: str, *below: str) -> Any:
    if isinstance(value, list):
        return [_without(each, name, *below) for each in value]
    if not isinstance(value, Mapping) or name not in value:
        return value
    left = {key: each for key, each in value.items() if key != name}
    return {**left, name: _without(value[name], *below)} if below else left


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
