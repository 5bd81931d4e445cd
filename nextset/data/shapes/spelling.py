"""Worlds by name: `shapes`, `shapes-64` (the side of the pictures), `shapes-64(most=2, letters=3)` (fields of `World`)."""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Any

from ...errors import UsageError, nearest
from .streams import SIDE
from .world import World

_NAME = re.compile(r"shapes(?:-(\d+))?(\(.*\))?", re.DOTALL)
_FIELDS = [field.name for field in dataclasses.fields(World)]


def spelt(source: str) -> tuple[int, World] | None:
    """Side and world of a name, None where it is none of shapes. Raises UsageError for fields and values that no world has."""
    match = _NAME.fullmatch(source.strip())
    if match is None:
        return None
    side, told = match.groups()
    return int(side or SIDE), World(**_arguments(told, source)) if told else World()


def _arguments(told: str, source: str) -> dict[str, Any]:
    """The keywords of a call, values being literals: nothing is executed."""
    try:
        call = ast.parse(f"world{told}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("not of the form name=value, ...")
        found = {keyword.arg or "**": ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise UsageError(
            f"data {source!r}: a world is said as in shapes(most=2, textures=('plain', 'striped')): {error}"
        ) from error
    for name, value in found.items():
        if name not in _FIELDS:
            raise UsageError(f"data {source!r}: a world has no {name!r}{nearest(name, _FIELDS)}")
        default = getattr(World(), name)
        kinds = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
            raise UsageError(f"data {source!r}: {name} is like {default!r}, got {value!r}")
    return found
