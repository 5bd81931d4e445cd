"""Every system by name: `names()`, `sizes("llamagen")`, `spec("llamagen/b")`. Names are the modules of `nextset.systems`.

A system's module is imported when it is asked for, never before.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

from . import systems
from .errors import UsageError, nearest
from .system import System


@functools.cache
def names() -> tuple[str, ...]:
    """All systems, sorted. Module `next_patch` is the system `next-patch`."""
    return tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(systems.__path__)))


def module(name: str) -> ModuleType:
    """The file of a system. Raises UsageError with the nearest name for an unknown one."""
    if name not in names():
        raise UsageError(f"there is no system {name!r}{nearest(name, names())}")
    return importlib.import_module(f"{systems.__name__}.{name.replace('-', '_')}")


def sizes(name: str) -> dict[str, System]:
    """The sizes of a system, published ones by the paper's label; "tiny" is what the tests build."""
    found = module(name)
    return {**found.SIZES, "tiny": found.TINY}


def spec(name: str) -> System:
    """The system `name/size`; without a size the first one its file lists. Raises UsageError with the nearest name."""
    system, _, size = name.partition("/")
    table = sizes(system)
    if not size:
        return next(iter(table.values()))
    if size not in table:
        raise UsageError(f"system {system!r} has no size {size!r}{nearest(size, table)}")
    return table[size]
