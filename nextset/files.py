"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError

from .errors import NextsetError


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` fill a temporary file beside `path`, then renames it; a failure leaves what was there.

    Raises NextsetError naming the file where the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    except OSError as error:
        raise NextsetError(f"{path} could not be written ({error}); choose another place or free some space") from error
    try:
        write(Path(name))
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        os.replace(name, path)
    except (OSError, SafetensorError) as error:
        raise NextsetError(f"{path} could not be written ({error}); free some space, what was there is kept") from error
    finally:
        Path(name).unlink(missing_ok=True)


def write_stream(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """As `write_atomically`, for writers that want an open file (numpy, given a name, appends an ending to it)."""

    def opened(temporary: Path) -> None:
        with temporary.open("wb") as file:
            write(file)

    write_atomically(path, opened)


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_json(path: Path, data: Any) -> None:
    """Writes JSON atomically."""
    write_atomically(path, lambda p: p.write_text(json.dumps(data, indent=1) + "\n"))
