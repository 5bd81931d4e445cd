"""`nextset data check`, `nextset data encode` and `nextset data preview`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .. import folders
from ..data.base import Dataset
from ..data.check import check
from ..data.encode import Encoding, write_cache
from ..data.open import named, open_dataset
from ..data.shapes.preview import Tile, item_tiles, save_pages, sheet, tiles
from ..data.shapes.spelling import spelt
from ..errors import UsageError
from ..files import write_atomically
from ..sampling import Share
from ..weights import load_tokenizer
from . import command
from .command import Json, say

SOURCE = "digits, shapes, shapes-64, shapes(most=2, letters=3) and the like, hf:owner/name, a folder of images, shards, or a .jsonl list."
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE", help=SOURCE)]


@dataclass(frozen=True)
class Check:
    """Decode every picture and say what there is: sizes, modes, classes, broken files. Exit code 1 where some are broken."""

    source: Source
    json: Json = False

    def run(self) -> int:
        """Prints the report."""
        report = check(self.source)
        say(self.json, report.to_dict(), str(report))
        return 0 if report.ok else 1


@dataclass(frozen=True)
class Encode:
    """Encode every picture once and write the tokens to a cache; stopped, the same command goes on where it was.

    Under torchrun (RANK, WORLD_SIZE) the processes share the shards.
    """

    source: Source
    tokenizer: str
    """Folder or hub id of a saved tokenizer, or of a saved model, whose tokenizer and size are taken."""
    out: Path
    """Folder of the cache."""
    size: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="H W")] = None
    """Height and width of the pictures; by default those of the model, or of digits and shapes, which have one."""
    split: Literal["train", "test", "all"] = "train"
    """Which pictures."""
    batch: int = 64
    """Pictures encoded at once."""
    shard: int = 8192
    """Pictures of a file."""
    mirror: bool = False
    """Encode each picture mirrored too, for training that flips."""
    latents: Literal["float16", "float32"] = "float16"
    """Precision of latent tokens; ids take the smallest integers that hold them."""
    workers: int = 0
    """Processes that read pictures."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a CUDA device where there is one."""
    json: Json = False

    def run(self) -> int:
        """Writes the cache, or this process's share of it."""
        if self.batch < 1 or self.workers < 0:
            raise UsageError(f"batch must be at least 1 and workers at least 0, got {self.batch} and {self.workers}")
        share = Share.from_environment()
        how = Encoding(self.batch, self.shard, self.mirror, self.latents, self.workers, share.rank, share.world)
        dataset = open_dataset(self.source, self.split)
        device, size = command.device(self.device, share), self._size(dataset)
        spec, module = load_tokenizer(self.tokenizer)
        cache = write_cache(self.out, dataset, module.to(device), spec, size, how)
        found = {"out": str(self.out), "pictures": len(dataset), "size": list(size), "whole": cache is not None}
        done = "wrote" if cache else "this process's share is done of"
        say(self.json, found, f"{done} {self.out}: the tokens of {len(dataset)} pictures of {dataset.name}")
        return 0

    def _size(self, dataset: Dataset) -> tuple[int, int]:
        """(height, width) as asked, of the model, or of the data."""
        if self.size is not None:
            return self.size
        config = folders.load_config(folders.find_folder(self.tokenizer))
        if "system" in config:
            height, width = config["system"]["size"]
        elif named(self.source) is not None:
            height, width, _ = dataset[0].image.shape
        else:
            raise UsageError(f"size: {self.tokenizer} holds no model that would say it; give --size H W")
        return height, width


@dataclass(frozen=True)
class Preview:
    """A picture of the first items with their captions: of any data, or of each kind that the world of shapes has (a video is a GIF)."""

    source: Source
    out: Path
    """The file to write: .png, or .gif for a video."""
    kind: Literal["image", "edit", "video", "views", "voxels", "painting", "degraded", "text", "truth"] = "image"
    """What to show; all but images are of shapes only."""
    split: Literal["train", "test", "all"] = "train"
    """Which items."""
    count: int = 12
    """How many."""
    size: int | None = None
    """Side of the shapes' pictures (64, or as their name says where that is more), or of the voxels' grid (16)."""
    json: Json = False

    def run(self) -> int:
        """Writes the picture."""
        ending = ".gif" if self.kind == "video" else ".png"
        if self.count < 1 or self.out.suffix.lower() != ending:
            raise UsageError(
                f"a {self.kind} needs count >= 1 and an out that ends in {ending}, got {self.count}, {self.out}"
            )
        pages = sheet(self._tiles())
        write_atomically(self.out, lambda path: save_pages(path, pages))
        found = {"out": str(self.out), "kind": self.kind, "items": self.count}
        say(self.json, found, f"wrote {self.out}: {self.count} of {self.source}, kind {self.kind}")
        return 0

    def _tiles(self) -> list[Tile]:
        shapes = spelt(self.source)
        if shapes is not None:
            side, world = shapes
            size = self.size or (16 if self.kind == "voxels" else max(side, 64))
            return tiles(self.kind, self.split, size, self.count, world)
        if self.kind != "image" or self.size is not None:
            raise UsageError(f"kind and size are those of shapes; of {self.source} there are only its pictures")
        return item_tiles(open_dataset(self.source, self.split), self.count)


COMMAND: Any = (
    Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Encode, tyro.conf.subcommand("encode")]
    | Annotated[Preview, tyro.conf.subcommand("preview")]
)


class Data:
    """The command `nextset data`."""

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs `check`, `encode` or `preview`."""
        chosen: Check | Encode | Preview = command.parse(COMMAND, "data", words)
        return chosen.run()
