"""Read which providers a configuration selects. Each has a name: its own, or that of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlopsfw.kernel.base.errors import ConfigError, UsageError
from mlopsfw.kernel.base.ids import check_name, nearest
from mlopsfw.kernel.config.model import Selection
from mlopsfw.kernel.config.validation import Fail
from mlopsfw.kernel.roles.names import KINDS, chosen_as

_HINT = 'Write use = "…"; `mlopsfw plugins list` shows the names.'


def single(table: Any, role: str, fail: Fail) -> tuple[Selection, tuple[Selection, ...]]:
    """Return the default provider of a role, and all that its table names.

    `[trainer] use = "torch"` selects; `[trainer.torch]` has options of the kind, `[trainer.boosted]` with a `use` is a
    provider by that name. Where several trainers have names and none is the default, its `use` is empty: steps say
    which.
    """
    if not isinstance(table, dict):
        raise fail("must be a table", role, hint=f'Write [{role}] with use = "…".')
    tables = {name: inner for name, inner in table.items() if isinstance(inner, dict)}
    _only([key for key in table if key not in tables], ("use",), role, fail)
    named = tuple(_instance(name, inner, role, fail) for name, inner in tables.items())
    use = table.get("use", named[0].called if len(named) == 1 else None)
    if use is None and KINDS[role].by_step and named and all(each.key != role for each in named):
        return Selection(use="", key=role), named
    if not isinstance(use, str) or not use:
        raise fail("names no provider", f"{role}.use", hint=_HINT)
    return next((each for each in named if each.called == use), Selection(use=use, name=use, key=role)), named


def _instance(name: str, table: dict[str, Any], role: str, fail: Fail) -> Selection:
    if not isinstance(table.get("use"), str):
        return Selection(use=name, name=name, options=table, key=role)
    return _configured(table, name, f"{role}.{name}", fail, own=("use",))


def several(value: Any, role: str, fail: Fail) -> list[Selection]:
    """Return the providers of a role of which there can be several: `[[monitor]]`, each with a name of its own."""
    if not isinstance(value, list):
        raise fail("must be an array of tables", role, hint=f"Write [[{role}]], once for each.")
    selections: list[Selection] = []
    for number, item in enumerate(value):
        key = f"{role}.{number}"
        if not isinstance(item, dict):
            raise fail("must be a table", key, hint=f'Write [[{role}]] with use = "…".')
        selection = _configured(item, name_of(item), key, fail, own=_own(role))
        if selection.called in [earlier.called for earlier in selections]:  # what each did is kept by its name
            hint = f'Give one of them a name of its own: name = "{selection.called}-2".'
            raise fail(f"two of [[{role}]] are called {selection.called!r}", key, hint=hint)
        selections.append(selection)
    return selections


def name_of(table: Mapping[str, Any]) -> Any:
    """Return what a table of `[[monitor]]` is called: its name, else its kind."""
    return table.get("name", _kind(table))


def _kind(table: Mapping[str, Any]) -> Any:
    tables = [name for name, inner in table.items() if isinstance(inner, dict)]
    return table.get("use", tables[0] if len(tables) == 1 else None)


def _configured(table: dict[str, Any], name: Any, key: str, fail: Fail, *, own: tuple[str, ...]) -> Selection:
    """Read one provider. Its options stand beside `use`, or all in a table called after its kind."""
    use = _kind(table)
    if not isinstance(use, str) or not use:
        raise fail("names no provider", f"{key}.use", hint=_HINT)
    try:
        check_name(name if isinstance(name, str) else "", "name of a provider")
    except UsageError as error:
        raise fail(error.message, f"{key}.name", hint=error.hint) from None
    settings = {key: value for key, value in table.items() if key in own and key not in {"use", "name"}}
    if isinstance(table.get(use), dict):
        limit = ("timeout",) if KINDS[key.partition(".")[0]].timeout else ()
        _only([key for key, inner in table.items() if not isinstance(inner, dict)], (*own, *limit), key, fail)
        options = {key: table[key] for key in limit if key in table} | table[use]
        return Selection(use=use, name=name, options=options, key=key, settings=settings)
    options = {key: value for key, value in table.items() if key not in own}
    return Selection(use=use, name=name, options=options, key=key, options_key=key, besides=own, settings=settings)


def _only(keys: Sequence[str], known: Sequence[str], above: str, fail: Fail) -> None:
    for key in keys:
        if key not in known:
            raise fail("unknown key", f"{above}.{key}", hint=nearest(key, known))


def reach(items: list[Any], changes: Mapping[str, Any], role: str) -> list[Any]:
    """Return `[[role]]` with `changes` made: name → keys. Raise `ConfigError` where none is called so."""
    changed = list(items)
    names = [name_of(item) if isinstance(item, dict) else None for item in items]
    for name, change in changes.items():
        if name not in names or not isinstance(change, dict):
            says = f"no {role} is called {name!r}" if name not in names else "must be given a key"
            hint = nearest(name, [each for each in names if isinstance(each, str)])
            raise ConfigError(says, key=f"{role}.{name}", hint=hint or f"Write {role}.{name}.KEY.")
        place = names.index(name)
        changed[place] = _changed(changed[place], change, _own(role))
    return changed


def _own(role: str) -> tuple[str, ...]:
    return "use", "name", *KINDS[role].settings


def _changed(item: dict[str, Any], change: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    use = _kind(item)
    options = {key: value for key, value in change.items() if key not in (*known, use)}
    own = {key: value for key, value in change.items() if key not in options}
    if isinstance(item.get(use), dict):
        inner = own.pop(use, {})
        return {**item, **own, use: merged(item[use], {**inner, **options})}
    return merged(item, change)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid over it, table by table; a name reaches into arrays such as `[[monitor]]`."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        if key in chosen_as("many") and isinstance(inner, list) and isinstance(value, dict):
            result[key] = reach(inner, value, key)
        else:
            both = isinstance(inner, dict) and isinstance(value, dict)
            result[key] = merged(inner, value) if both else value  # type: ignore[arg-type]
    return result
