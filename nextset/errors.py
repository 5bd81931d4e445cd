"""The two errors a user meets, and the message for an extra that is not installed.

Everything raised on purpose is one of these, with one sentence that names the argument and the fix; the command line
turns them into exit codes. Other exceptions are bugs.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class UsageError(ValueError):
    """Wrong use: an argument, a name or a combination of parts that cannot work (exit code 2)."""


class NextsetError(RuntimeError):
    """Right use that failed: a corrupt file, a full disk, a loss that is not a number (exit code 1)."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error message: `; did you mean 'x'?` where a known word is close, else the known words."""
    known = list(known)
    begun = [name for name in known if word and name.startswith(word)]
    close = begun or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def need(module: str, extra: str) -> ModuleType:
    """Imports an optional dependency, or says which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise UsageError(f"this needs the package {package!r}: pip install 'nextset[{extra}]'") from error
