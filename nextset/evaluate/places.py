"""Where published weights lie that users bring: nothing is downloaded for a figure."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError


def cache_folder() -> Path:
    """Where extractors are kept: `$NEXTSET_CACHE`, else `~/.cache/nextset`."""
    return Path(os.environ.get("NEXTSET_CACHE") or Path.home() / ".cache" / "nextset").expanduser()


def find(names: Sequence[str], variable: str, given: str | Path | None, what: str) -> Path:
    """The file `given`, else the one that `$variable` names, else one of `names` in the cache folder, torch's, or here.

    Raises UsageError naming `what` and all these places where there is none.
    """
    told = given or os.environ.get(variable)
    if told:
        path = Path(told).expanduser()
        if not path.is_file():
            said = "" if given else f" (${variable})"
            raise UsageError(f"{what}: there is no file {path}{said}; give the path of {' or '.join(names)}")
        return path
    torch_home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    places = [cache_folder(), Path(torch_home).expanduser() / "hub" / "checkpoints", Path()]
    for path in (place / name for place in places for name in names):
        if path.is_file():
            return path
    listed = ", ".join(str(place.absolute()) for place in places)
    raise UsageError(
        f"{what} are not at hand: put {' or '.join(names)} into one of {listed}, or name the file with ${variable} or on the command line"
    )


def sha256(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
