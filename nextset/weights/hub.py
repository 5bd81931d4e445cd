"""Files of the Hugging Face hub, by "owner/name:path"; and the digests by which a model knows where it came from.

Everything goes through huggingface_hub, so that its settings hold: HF_ENDPOINT (a mirror), HF_HUB_OFFLINE, HF_HOME, HF_TOKEN, and
downloads that go on where they stopped.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..errors import UsageError
from ..folders import reason

PLACE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+):(?P<path>[\w./-]+)")


def fetch(place: str, revision: str | None = None) -> Path:
    """The local path of "owner/name:path", a file or a folder, downloaded where it is not here yet.

    Raises UsageError for another form, and for what the hub does not give.
    """
    found = PLACE.fullmatch(place)
    if found is None:
        raise UsageError(f"{place!r} is no place on the hub; write it as owner/name:path")
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HFValidationError

    repo, path = found["repo"], found["path"].rstrip("/")
    try:
        if Path(path).suffix:
            return Path(hf_hub_download(repo, path, revision=revision))
        return Path(snapshot_download(repo, revision=revision, allow_patterns=[f"{path}/*"])) / path
    except (HFValidationError, OSError) as error:  # all that the hub itself says is an OSError
        raise UsageError(f"{place} could not be had from the hub: {reason(error)}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file. The hub's cache names large files by it, which saves reading them; of a folder that of its files in order."""
    if path.is_dir():
        parts = [digest(part) for part in sorted(path.iterdir()) if part.is_file()]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()
    kept = path.resolve().name
    if path.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", kept):
        return kept
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
