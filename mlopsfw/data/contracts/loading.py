"""Read a contract. Every key, name and number is checked before any row, and errors name the line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import msgspec

from mlopsfw.data.contracts import model
from mlopsfw.data.contracts.expressions import parse_sql, usable_pattern
from mlopsfw.data.tables.digest import file_digest
from mlopsfw.kernel.base.errors import ConfigError, DataError, NewerVersion, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.base.spans import duration
from mlopsfw.kernel.config.locate import key_lines
from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.kernel.config.validation import validation_error

T = TypeVar("T")

_MOST = 16 << 20  # bytes; people write contracts


class Origin(TypedDict):
    """The name of a contract in a report.

    Args:
        file: Its file, or the step of the project's file that holds it.
        digest: sha256 of the file, or of the step's values.
    """

    file: str
    digest: str


def load_known(file: Path, label: str) -> tuple[model.Contract, Origin]:
    """Return a contract, and its `label` and digest for a report. Raise as `load_contract` does."""
    return load_contract(file), {"file": label, "digest": file_digest(file)}


def load_contract(file: Path) -> model.Contract:
    """Read a contract's file.

    Raises:
        ConfigError: It cannot be read; with the line, and the nearest name for an unknown one.
        NewerVersion: It has a later format.
    """
    try:
        if file.stat().st_size > _MOST:
            raise ConfigError(f"larger than {_MOST >> 20} MiB, too large for a contract", file=file)
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"there is no contract {file}", hint=f"Write one: mlopsfw data check NAME --infer -o {file.as_posix()}"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", file=file, hint="Save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file) from None
    return _parse(text, file)


def _parse(text: str, file: Path) -> model.Contract:
    import tomllib

    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        match = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"not valid TOML: {error}", file=file, line=int(match[1]) if match else None) from None
    return read_contract(tree, file=str(file), lines=key_lines(text))


def read_contract(
    tree: Mapping[str, Any], *, file: str = "", lines: Mapping[str, int] | None = None, above: str = ""
) -> model.Contract:
    """Read a contract from the values of TOML: a file's, or a table of the pipeline file.

    Args:
        tree: The values.
        file: Their file, for errors.
        lines: Dotted key → its line.
        above: The key of the table in that file.
    """
    return _Reader(ProjectConfig(name="", file=file, lines=dict(lines or {})), above).read(dict(tree))


class _Reader:
    """Reads one contract.

    Args:
        where: Points at a key of the file.
        above: Before every key.
    """

    def __init__(self, where: ProjectConfig, above: str) -> None:
        self._where, self._above = where, above

    def fail(self, message: str, key: str, *, hint: str = "") -> ConfigError:
        """Return the error for a key."""
        return self._where.error(message, f"{self._above}.{key}" if self._above else key, hint=hint)

    def read(self, tree: dict[str, Any]) -> model.Contract:
        """Return the contract."""
        if isinstance(version := tree.get("contract"), int) and version > model.FORMAT:
            raise NewerVersion(
                f"{self._where.file or 'the contract'} has format {version}, and this version reads format {model.FORMAT}"
            )
        fields = model.Contract.__struct_fields__
        for key in tree:
            if key not in fields:
                raise self.fail("unknown key", key, hint=nearest(key, fields))
        for key in ("unique", "rule"):
            if not isinstance(tree.get(key, []), list):
                raise self.fail("must be an array of tables", key, hint=f"Write one [[{key}]] for each.")
        if not isinstance(tree.get("columns", {}), dict):
            raise self.fail("must be a table", "columns", hint="Write [columns.NAME].")
        contract = model.Contract(
            contract=self._convert(tree.get("contract", model.FORMAT), int, "contract"),
            table=self._convert(tree.get("table", {}), model.TableRules, "table"),
            columns={name: self._column(name, value) for name, value in tree.get("columns", {}).items()},
            unique=tuple(self._each(tree, "unique", model.Key)),
            rule=tuple(self._each(tree, "rule", model.Condition)),
            distribution=self._optional(tree, "distribution", model.Distribution),
        )
        self._check(contract)
        return contract

    def _convert(self, value: Any, kind: type[T], key: str) -> T:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise validation_error(error, kind, key, self.fail) from None

    def _column(self, name: str, value: Any) -> model.ColumnRules:
        if isinstance(value, dict):  # TOML has dates and times of its own
            dated = {rule: value[rule] for rule in ("range", "values") if isinstance(value.get(rule), list)}
            value = value | {rule: [_plain(each) for each in listed] for rule, listed in dated.items()}
        return self._convert(value, model.ColumnRules, f"columns.{name}")

    def _each(self, tree: Mapping[str, Any], key: str, kind: type[T]) -> Iterator[T]:
        for number, value in enumerate(tree.get(key, [])):
            yield self._convert(value, kind, f"{key}.{number}")

    def _optional(self, tree: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
        return self._convert(tree[key], kind, key) if key in tree else None

    # -- what the types do not say ----------------------------------------------------------------------------------------

    def _check(self, contract: model.Contract) -> None:
        self._names(contract.table.warn, model.TABLE_RULES, "table.warn")
        for name, column in contract.columns.items():
            self._check_column(f"columns.{name}", column)
        for number, key in enumerate(contract.unique):
            if not key.columns:
                raise self.fail("names no column", f"unique.{number}.columns")
        for number, condition in enumerate(contract.rule):
            self._share(condition.allow, f"rule.{number}.allow")
            try:
                parse_sql(condition.that)
            except DataError as error:
                raise self.fail(error.message, f"rule.{number}.that", hint=error.hint) from None
        if contract.distribution:
            self._share(contract.distribution.alpha, "distribution.alpha")
            self._share(contract.distribution.threshold, "distribution.threshold")

    def _check_column(self, key: str, column: model.ColumnRules) -> None:
        self._names(column.warn, model.COLUMN_RULES, f"{key}.warn")
        self._share(column.allow, f"{key}.allow")
        self._share(column.nulls or 0.0, f"{key}.nulls")
        if column.range is not None:
            self._check_range(column.range, f"{key}.range")
        try:
            if column.freshness is not None:
                duration(column.freshness)
            if column.pattern is not None:
                usable_pattern(column.pattern)
        except UsageError as error:
            rule = (
                "freshness"
                if column.freshness is not None and error.message.startswith(repr(column.freshness))
                else "pattern"
            )
            raise self.fail(error.message, f"{key}.{rule}", hint=error.hint) from None

    def _check_range(self, bounds: tuple[model.Bound, model.Bound], key: str) -> None:
        least, greatest = (bound for bound in bounds)
        if any(isinstance(bound, float) and bound != bound for bound in bounds):  # noqa: PLR0124 - NaN
            raise self.fail("NaN is not a bound", key, hint='Write "" for no bound.')
        numbers = isinstance(least, int | float) and isinstance(greatest, int | float)
        texts = isinstance(least, str) and isinstance(greatest, str) and least and greatest
        if (numbers or texts) and least > greatest:  # type: ignore[operator]
            raise self.fail(f"{least!r} is greater than {greatest!r}", key, hint="Write the smaller value first.")

    def _share(self, share: float, key: str) -> None:
        if not 0 <= share <= 1:
            raise self.fail(f"{share!r} is not a share", key, hint="Write a number from 0 to 1.")

    def _names(self, named: tuple[str, ...], allowed: tuple[str, ...], key: str) -> None:
        for name in named:
            if name not in allowed:
                raise self.fail(f"there is no rule {name!r}", key, hint=nearest(name, allowed))


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
