"""Write a contract as a file for people: TOML with a note beside each column. Reading it gives the same contract again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from mlopsfw.data.contracts.model import ColumnRules, Contract

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDE = 100  # characters; a longer list gets several lines


def write_contract(contract: Contract, *, head: Iterable[str] = (), notes: Mapping[str, str] | None = None) -> str:
    """Return a contract as TOML.

    Args:
        contract: The rules; empty ones are not written.
        head: The first lines, as comments.
        notes: Column → comment beside its name.
    """
    lines = [*map(_comment, head), "", f"contract = {contract.contract}"]
    if table := _said(contract.table):
        lines += ["", "[table]", *_assignments(table)]
    for name, rules in contract.columns.items():
        note = (notes or {}).get(name, "")
        lines += ["", f"[columns.{_key(name)}]{'  ' + _comment(note) if note else ''}", *_assignments(_said(rules))]
    for key, records in (("unique", contract.unique), ("rule", contract.rule)):
        for record in records:
            lines += ["", f"[[{key}]]", *_assignments(_said(record))]
    if contract.distribution:
        lines += ["", "[distribution]", *_assignments(_said(contract.distribution, whole=True))]
    return "\n".join(lines).lstrip("\n") + "\n"


def _comment(text: str) -> str:
    """Return a one-line comment, whatever a column's name or value contains."""
    return f"# {''.join(c if c.isprintable() else ' ' for c in text)}".rstrip()


def _said(record: msgspec.Struct, *, whole: bool = False) -> dict[str, Any]:
    """Return the values of a record that differ from its defaults, or all but those that TOML cannot write."""
    defaults = {} if whole else {field.name: field.default for field in msgspec.structs.fields(record)}
    fields = {name: value for name, value in msgspec.structs.asdict(record).items() if value is not None}
    left_out = {name for name, value in fields.items() if (name in defaults and value == defaults[name]) or value == ()}
    if isinstance(record, ColumnRules) and record.nulls is not None:
        left_out.discard("nulls")
    return {name: value for name, value in fields.items() if name not in left_out}


def _assignments(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        line = f"{name} = {_value(value)}"
        if len(line) > _WIDE and isinstance(value, tuple):
            yield f"{name} = ["
            yield from _broken(value)
            yield "]"
        else:
            yield line


def _broken(values: Iterable[Any]) -> Iterator[str]:
    line = "   "
    for value in values:
        text = f" {_value(value)},"
        if len(line) + len(text) > _WIDE and line.strip():
            yield line
            line = "   "
        line += text
    yield line


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        literal = "\\" in value and "'" not in value and value.isprintable()
        return f"'{value}'" if literal else _text(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)


def _number(value: float) -> str:
    text = repr(value)
    return text if any(c in text for c in ".in") else text.replace("e", ".0e")


def _text(text: str) -> str:
    """Return a basic string. What cannot be seen is escaped: TOML allows no control characters, and unlike JSON not DEL."""
    return "".join(
        each if each.isprintable() else f"\\U{ord(each):08x}" for each in json.dumps(text, ensure_ascii=False)
    )
