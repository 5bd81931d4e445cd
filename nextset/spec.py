"""Specs: parts as frozen data that print, compare, hash, edit with `dataclasses.replace`, and travel as JSON.

JSON form: `{"type": "orders.raster.Raster", <field>: <value>, ...}`; `type` is the path of the class below `nextset`
(or its full path for a leaf defined elsewhere, whose module must already be imported: reading a file imports nothing foreign).
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, get_type_hints

from .errors import UsageError, nearest

PACKAGE = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class Spec:
    """Base of every part's description. Abstract below this class, final above: leaves are never subclassed."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data that `Spec.from_dict` turns back into an equal spec."""
        return {"type": _path(type(self))} | {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The spec that `to_dict` wrote. Raises UsageError for a type that is not a `cls` or for unknown fields."""
        spec = _spec(data)
        if not isinstance(spec, cls):
            raise UsageError(f"type {data.get('type')!r} is a {type(spec).__name__}, not a {cls.__name__}")
        return spec

    def diff(self, other: Spec) -> list[tuple[str, Any, Any]]:
        """What differs, as (dotted field, value here, value there)."""
        return list(_differences("", self, other))

    def changes(self, other: Spec) -> str:
        """The same in words: "field old -> new, ..."."""
        return ", ".join(f"{name} {old} -> {new}" for name, old, new in self.diff(other))

    def __str__(self) -> str:
        """The constructor call, without the fields that have their default."""
        values = ((f, getattr(self, f.name)) for f in dataclasses.fields(self))
        shown = [f"{f.name}={v if isinstance(v, Spec) else repr(v)}" for f, v in values if v != f.default]
        return f"{type(self).__name__}({', '.join(shown)})"


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix(PACKAGE + ".")


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_dict()
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _resolve(path: str) -> type[Spec]:
    module, _, name = path.rpartition(".")
    try:  # a script's own leaves are in __main__, which is not the module of that name here
        found = sys.modules[module] if module == "__main__" else importlib.import_module(f"{PACKAGE}.{module}")
    except ModuleNotFoundError:
        if module not in sys.modules:
            raise UsageError(
                f"type {path!r} is not part of this version of nextset; if it is your own, import {module or path!r} first"
            ) from None
        found = sys.modules[module]
    cls = getattr(found, name, None)
    if not (isinstance(cls, type) and issubclass(cls, Spec)):
        raise UsageError(f"type {path!r} is not a spec of nextset")
    return cls


def _spec(data: Any) -> Spec:
    if not (isinstance(data, dict) and isinstance(data.get("type"), str)):
        raise UsageError(f"a spec is a JSON object with a 'type', got {str(data)[:80]!r}")
    cls = _resolve(data["type"])
    fields, hints = [f.name for f in dataclasses.fields(cls)], get_type_hints(cls)
    values = {key: _value(value) for key, value in data.items() if key != "type"}
    for key in values:
        if key not in fields:
            raise UsageError(f"{cls.__name__} has no field {key!r}{nearest(key, fields)}")
        kind = hints[key]
        if isinstance(kind, type) and issubclass(kind, Spec) and not isinstance(values[key], kind):
            raise UsageError(f"{cls.__name__}: {key} must be a {kind.__name__}, got {values[key]}")
    try:
        return cls(**values)
    except TypeError as error:
        raise UsageError(f"type {data['type']!r}: {error}") from error


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return _spec(value)
    return tuple(_value(v) for v in value) if isinstance(value, list) else value


def _differences(at: str, left: Any, right: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(left, Spec) and type(left) is type(right):
        for f in dataclasses.fields(left):
            yield from _differences(f"{at}.{f.name}".lstrip("."), getattr(left, f.name), getattr(right, f.name))
    elif left != right:
        yield at, left, right
