"""`nextset convert`: official weights to a folder of ours, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..errors import UsageError
from ..folders import load_config
from ..weights import convert, convert_back
from .command import Json, parse, say

Files = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(
        metavar="FILES", help="A checkpoint and its tokenizer, or one of them; with --back a folder of ours."
    ),
]


@dataclass
class Convert:
    """Official checkpoints to a folder that describes itself, and with --back to files that the official scripts read."""

    files: Files
    to: Path
    """Folder to write; it must be empty or new."""
    back: bool = False
    """From a folder of ours to the official layout."""
    name: str = ""
    """Family, and size, such as llamagen/b, where neither the files' names nor their tensors tell."""
    config: str = ""
    """Official constructor arguments that shapes do not show, as JSON or the path of a JSON file."""
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command."""
        command = parse(cls, "convert", words)
        return command.run_back() if command.back else command.run()

    def run(self) -> int:
        """Writes our folder."""
        folder = convert(self.files, self.to, self.name, arguments(self.config))
        about = load_config(folder)
        found = {"out": str(folder), "family": about["family"], "origin": about["origin"]}
        lines = [f"wrote {folder}: {about['family']}"]
        lines += [f"  {one['sha256']}  {one['file']}" for one in about["origin"]]
        say(self.json, found, "\n".join(lines))
        return 0

    def run_back(self) -> int:
        """Writes official files."""
        if len(self.files) != 1 or self.config:
            raise UsageError("with --back give one folder that nextset wrote, and no config")
        written = [str(path) for path in convert_back(self.files[0], self.to, self.name)]
        say(self.json, {"out": written}, "\n".join(f"wrote {path}" for path in written))
        return 0


def arguments(text: str) -> Mapping[str, Any] | None:
    """A JSON object, as it stands or in a file. Raises UsageError for anything else."""
    if not text:
        return None
    try:
        found = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"config: {text} is neither JSON nor a file of it ({error})") from error
    if not isinstance(found, dict):
        raise UsageError(f"config: {text} holds no JSON object of arguments")
    return found
