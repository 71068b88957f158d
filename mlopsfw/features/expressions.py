"""Expressions of derived columns: parsed from Polars' notation and checked. Their text is never executed."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from mlopsfw.features.functions import FUNCTIONS
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.derived import Call, Column, Constant, Expression, Find

Tables = Mapping[str, Callable[[str, Expression], Find]]
"""Table → a function from a column and a key expression to the lookup."""

_LONGEST = 10_000
_DEEPEST = 100
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.FloorDiv: "floor_divide", ast.Mod: "remainder",
    ast.BitAnd: "and", ast.BitOr: "or", ast.USub: "negate", ast.Invert: "not", ast.Eq: "equal", ast.NotEq: "unequal", ast.Lt: "less",
    ast.LtE: "at_most", ast.Gt: "greater", ast.GtE: "at_least", ast.Pow: "power",
}  # fmt: skip
_METHODS = {
    **{name: name for name in ("abs", "sqrt", "log", "log10", "log1p", "exp", "sin", "cos", "sign", "floor", "ceil", "round", "clip")},
    "is_in": "is_in", "is_null": "is_null", "pow": "power",
    "fill_null": "coalesce", "not_": "not",
    **{f"dt.{part}": part for part in ("minute", "hour", "weekday", "day", "ordinal_day", "month", "year")},
    "str.to_lowercase": "lowercase", "str.to_uppercase": "uppercase", "str.strip_chars": "strip", "str.len_chars": "length",
    "str.slice": "slice", "str.starts_with": "starts_with", "str.ends_with": "ends_with",
}  # fmt: skip
_FREE = ("coalesce", "min_horizontal", "max_horizontal")
_LITERAL = {
    "str.contains": "contains",
    "str.replace_all": "replace",
}  # by a text, never by a pattern: patterns may run for ever
_ELAPSED = {f"dt.total_{unit}": f"elapsed_{unit}" for unit in ("seconds", "minutes", "hours", "days")}
_KNOWN = (
    *_METHODS,
    *_LITERAL,
    *_ELAPSED,
    *_FREE,
    "col",
    "lit",
    "when",
    "is_not_null",
    "is_between",
    "cast",
    "dt.convert_time_zone",
)


def parse(text: str, tables: Tables | None = None) -> Expression:
    """Parse the expression in `text`.

    Columns are plain names, or `col("any name")`; `planes[tailnum].seats` is what the table `planes` says of `tailnum`.

    Raises:
        UsageError: It cannot be read, or uses what is not in the closed set; shows where.
    """
    try:
        if len(text) > _LONGEST:
            raise UsageError(f"the expression has {len(text):,} characters; at most {_LONGEST:,} are allowed")
        return _Reader(text, tables or {}).read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{text[:80]!r} cannot be read: {getattr(error, 'msg', error)}") from None


class _Reader:
    def __init__(self, text: str, tables: Tables) -> None:
        self._text, self._tables = text.strip(), tables

    def read(self, node: ast.AST) -> Expression:  # noqa: PLR0911 - one for each form
        match node:
            case ast.Name(id=name):
                return Column(name=name)
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return Constant(value=value if isinstance(value, bool | str) else float(value))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._call(_OPERATORS[type(op)], left, right)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return self._call(_OPERATORS[type(op)], operand)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
                return self._call(_OPERATORS[type(op)], left, right)
            case ast.Attribute(value=ast.Subscript(value=ast.Name(id=table), slice=key), attr=column):
                return self._find(node, table, key, column)
            case ast.Subscript(
                value=ast.Subscript(value=ast.Name(id=table), slice=key), slice=ast.Constant(value=str() as column)
            ):
                return self._find(node, table, key, column)
            case ast.Call(func=function, args=arguments, keywords=keywords):
                return self._called(node, function, arguments, keywords)
        raise self._error(node)

    def _call(self, function: str, *arguments: ast.AST) -> Call:
        return Call(function=function, arguments=tuple(map(self.read, arguments)))

    def _find(self, node: ast.AST, table: str, key: ast.AST, column: str) -> Expression:
        if table not in self._tables:
            raise self._error(node, f"no table is called {table!r}", nearest(table, self._tables))
        return self._tables[table](column, self.read(key))

    def _called(
        self, node: ast.Call, function: ast.expr, arguments: list[ast.expr], keywords: list[ast.keyword]
    ) -> Expression:
        name, subject = _dotted(function)
        if subject is not None and name in _LITERAL:
            return self._literal(node, name, subject, arguments)
        if keywords:
            raise self._error(node)
        if subject is None:
            return self._free(node, name, arguments)
        if name in _METHODS:
            return self._method(_METHODS[name], subject, arguments)
        return self._special(node, name, subject, arguments)

    def _literal(self, node: ast.Call, name: str, subject: ast.AST, arguments: list[ast.expr]) -> Expression:
        match node.keywords:
            case [ast.keyword(arg="literal", value=ast.Constant(value=True))]:
                return self._call(_LITERAL[name], subject, *arguments)
        raise self._error(node, f"{name} needs literal=True: it searches for a text, not for a pattern")

    def _special(self, node: ast.AST, name: str, subject: ast.AST, arguments: list[ast.expr]) -> Expression:
        match name, arguments:
            case "otherwise", [otherwise]:
                return self._chosen(node, subject, self.read(otherwise))
            case "is_not_null", []:
                return Call(function="not", arguments=(self._call("is_null", subject),))
            case "is_between", [low, high]:
                return Call(
                    function="and",
                    arguments=(self._call("at_least", subject, low), self._call("at_most", subject, high)),
                )
            case "cast", [target] if _dotted(target)[0] in ("String", "pl.String"):
                return self._call("text", subject)
            case "dt.convert_time_zone", [ast.Constant(value=str() as zone)]:
                return Call(function="in_zone", arguments=(self.read(subject), Constant(value=zone)))
            case _, [] if name in _ELAPSED and isinstance(subject, ast.BinOp) and isinstance(subject.op, ast.Sub):
                return self._call(_ELAPSED[name], subject.left, subject.right)
        if name in _ELAPSED:
            raise self._error(node, f"{name} applies to the difference of two times: (a - b).{name}()")
        raise self._error(node, f"{name!r} does not exist here", nearest(name, _KNOWN))

    def _method(self, function: str, subject: ast.AST, arguments: list[ast.expr]) -> Expression:
        if function == "is_in" and len(arguments) == 1 and isinstance(arguments[0], ast.List | ast.Tuple):
            arguments = arguments[0].elts
        if function == "round" and not arguments:
            arguments = [ast.Constant(value=0)]
        return self._call(function, subject, *arguments)

    def _free(self, node: ast.AST, name: str, arguments: list[ast.expr]) -> Expression:
        name = name.removeprefix("pl.")
        match name, arguments:
            case "col", [ast.Constant(value=str() as column)]:
                return Column(name=column)
            case "lit", [ast.Constant() as value]:
                return self.read(value)
        if name in _FREE:
            return self._call(name, *arguments)
        raise self._error(node, f"{name!r} does not exist here", nearest(name, _KNOWN))

    def _chosen(self, node: ast.AST, chain: ast.AST, otherwise: Expression) -> Expression:
        """Parse a chain of `when(a).then(b)`, from the last to the first."""
        match chain:
            case ast.Call(func=ast.Attribute(value=ast.Call(func=when, args=[condition]), attr="then"), args=[then]):
                chosen = Call(function="choose", arguments=(self.read(condition), self.read(then), otherwise))
                name, before = _dotted(when)
                if name.removeprefix("pl.") == "when":
                    return chosen if before is None else self._chosen(node, before, chosen)
        raise self._error(node, "otherwise must follow when(…).then(…)")

    def _error(
        self, node: ast.AST, reason: str = "this is not one of the allowed operations", hint: str = ""
    ) -> UsageError:
        part = ast.get_source_segment(self._text, node) if isinstance(node, ast.expr) else None
        return UsageError(
            f"{self._text[:80]!r}: {reason}: {(part or self._text)[:60]}",
            hint=hint or "docs/features.md lists the allowed operations.",
        )


def _dotted(node: ast.AST) -> tuple[str, ast.AST | None]:
    """Return a function's name and its receiver: `dt.hour` and the column, or `pl.col` and nothing."""
    match node:
        case ast.Name(id=name):
            return name, None
        case ast.Attribute(value=ast.Name(id="pl"), attr=name):
            return f"pl.{name}", None
        case ast.Attribute(value=ast.Attribute(value=subject, attr="dt" | "str" as space), attr=name):
            return f"{space}.{name}", subject
        case ast.Attribute(value=subject, attr=name):
            return name, subject
    return "", None


# -- what an expression is ------------------------------------------------------------------------------------------------


def columns_of(expression: Expression) -> frozenset[str]:
    """Return the columns that an expression reads."""
    match expression:
        case Column(name=name):
            return frozenset({name})
        case Call(arguments=arguments):
            return reduce(frozenset.union, map(columns_of, arguments), frozenset())
        case Find(key=key):
            return columns_of(key)
    return frozenset()


def kind_of(expression: Expression, columns: Mapping[str, str], deep: int = 0) -> str:
    """Return the kind of an expression's values, given the kind of each column. Raise `UsageError` if it cannot run."""
    if deep > _DEEPEST:
        raise UsageError(f"the expression is nested more than {_DEEPEST} levels deep")
    match expression:
        case Column(name=name):
            if name not in columns:
                raise UsageError(f"there is no column {name!r}", hint=nearest(name, columns))
            return columns[name]
        case Constant(value=value):
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError("a number must be finite")
            return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
        case Find():
            return _found(expression, kind_of(expression.key, columns, deep + 1))
    kinds = [kind_of(each, columns, deep + 1) for each in expression.arguments]
    return _zoned(expression, kinds) if expression.function == "in_zone" else _given(expression.function, kinds)


def _found(find: Find, key: str) -> str:
    texts = {isinstance(value, str) for value in find.values if value is not None}
    whole = len(find.keys) == len(find.values) == len(set(find.keys))
    if key != "string" or not whole or len(texts) > 1:
        raise UsageError(
            f"{find.table}[…].{find.column}: a table needs unique texts as keys, and values of one type",
            hint="Write a number as text by .cast(String)." if key == "number" else "",
        )
    return "string" if True in texts else "number"


def _zoned(call: Call, kinds: list[str]) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    match call.arguments:
        case [_, Constant(value=str() as zone)] if kinds[0] == "datetime":
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise UsageError(f"there is no time zone {zone!r}", hint="Such as America/New_York.") from None
            return "local"
    raise UsageError("convert_time_zone applies to a time and takes the name of a zone")


def _given(name: str, kinds: list[str]) -> str:
    function = FUNCTIONS.get(name)
    if function is None:
        raise UsageError(f"there is no function {name!r}", hint=nearest(name, FUNCTIONS))
    takes = list(function.takes)
    if function.more:
        takes += takes[-1:] * (len(kinds) - len(takes))
    same = {kind for kind, parameter in zip(kinds, takes, strict=False) if parameter == "same"}
    same = {"number"} if same == {"number", "boolean"} else same
    fits = all(_fits(kind, parameter) for kind, parameter in zip(kinds, takes, strict=False))
    if len(kinds) != len(takes) or not fits or len(same) > 1 or "local" in same:
        raise UsageError(f"{name} does not take {', '.join(kinds)}", hint=f"It takes {', '.join(function.takes)}.")
    return same.pop() if function.gives == "same" else function.gives


def _fits(kind: str, parameter: str) -> bool:
    return parameter in ("same", kind) or (kind, parameter) in (("boolean", "number"), ("datetime", "local"))


def joined(expression: Expression, columns: Mapping[str, str]) -> Expression:
    """Return the expression with `+` between texts as concatenation."""
    match expression:
        case Call(function=function, arguments=arguments):
            parts = tuple(joined(each, columns) for each in arguments)
            texts = function == "add" and {kind_of(each, columns) for each in parts} == {"string"}
            return Call(function="concat" if texts else function, arguments=parts)
        case Find(table=table, column=column, keys=keys, values=values, key=key):
            return Find(table=table, column=column, keys=keys, values=values, key=joined(key, columns))
    return expression


KINDS: dict[str, Any] = {
    "number": "number", "integer": "number", "boolean": "boolean", "string": "string", "date": "datetime", "datetime": "datetime",
}  # fmt: skip
"""The kind of a type of the signature."""
