"""`nextset train` and `nextset train-tokenizer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro

from .. import catalogue
from ..errors import UsageError
from ..objectives.adversarial import TokenizerLoss
from ..system import System
from ..tokenizers.base import Tokenizer
from ..train import Options, Recipe, Revival, set_up_generator, set_up_tokenizer
from ..train.estimate import estimate
from ..train.run import Setup
from ..train.trainer import folder_is_free
from ..weights import load
from .command import Json, parse, positional, say


@dataclass(frozen=True)
class Train:
    """Train a system on images, or go on from a saved model (whose parts are then as saved)."""

    system: System
    """The system; every part of it can be changed here."""
    data: str
    """digits, shapes, shapes-64, shapes(most=2) and the like, hf:owner/name, a folder of images, shards, a .jsonl list, or a token cache."""
    recipe: tyro.conf.OmitArgPrefixes[Recipe] = field(default_factory=Recipe)
    options: tyro.conf.OmitArgPrefixes[Options] = field(default_factory=lambda: Options(Path("runs/model")))
    tokenizer: str = ""
    """Folder of a trained tokenizer, where the system's is learned."""
    held_out: str = ""
    """Other data to judge on, or another token cache; by default the test split of the data (of a token cache: nothing)."""
    dry_run: bool = False
    """Only say what the run would take: parameters, memory, speed, time."""
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Parses and runs."""
        name, rest = positional(words, "system", "nextset train llamagen/digits --data digits --out runs/digits")
        if name in ("-h", "--help"):
            name, rest = "llamagen/digits", ["--help"]
        start = load(name) if Path(name).exists() or ":" in name else None
        system = start.system if start else catalogue.spec(name)
        default = cls(system, "", Recipe(), Options(Path("runs") / Path(name).name))
        self = parse(cls, f"train {name}", rest, default=replace(default, data=tyro.MISSING))
        if start and self.system != start.system:
            raise UsageError(f"system: the saved model {name} cannot change: {start.system.changes(self.system)}")

        def build() -> Setup:
            return set_up_generator(
                start or self.system,
                self.data,
                self.recipe,
                tokenizer=self.tokenizer,
                held_out=self.held_out,
                workers=self.options.workers,
            )

        return _run(build, self.options, self.dry_run, self.json)


@dataclass(frozen=True)
class TrainTokenizer:
    """Train the learned tokenizer of a system on images."""

    tokenizer: Tokenizer
    """The tokenizer; every field of it can be changed here."""
    size: tuple[int, int]
    """Height and width of the images in pixels."""
    data: str
    """digits, shapes, shapes-64, shapes(most=2) and the like, hf:owner/name, a folder of images, shards, or a .jsonl list."""
    recipe: tyro.conf.OmitArgPrefixes[Recipe] = field(default_factory=Recipe)
    options: tyro.conf.OmitArgPrefixes[Options] = field(default_factory=lambda: Options(Path("runs/tokenizer")))
    loss: TokenizerLoss = TokenizerLoss()
    """What is minimised beside the pixel and codebook errors."""
    revival: Revival = Revival()
    """When dead codes are moved."""
    held_out: str = ""
    """Other data to judge on; by default the test split of the data."""
    dry_run: bool = False
    """Only say what the run would take: parameters, memory, speed, time."""
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Parses and runs."""
        example = "nextset train-tokenizer llamagen/shapes --data shapes --out runs/vq"
        name, rest = positional(words, "system", example)
        if name in ("-h", "--help"):
            name, rest = "llamagen/shapes", ["--help"]
        system = catalogue.spec(name)
        recipe = Recipe(batch=32, lr=1e-3, weight_decay=0.0, beta2=0.99)
        options = Options(Path("runs") / f"{Path(name).name}-tokenizer")
        default = cls(system.tokenizer, system.size, tyro.MISSING, recipe, options)
        self = parse(cls, f"train-tokenizer {name}", rest, default=default)

        def build() -> Setup:
            return set_up_tokenizer(
                self.tokenizer,
                self.size,
                self.data,
                self.recipe,
                loss=self.loss,
                revival=self.revival,
                held_out=self.held_out,
                workers=self.options.workers,
            )

        return _run(build, self.options, self.dry_run, self.json)


def _run(build: Callable[[], Setup], options: Options, dry_run: bool, as_json: bool) -> int:
    if dry_run:
        found = estimate(build, options)
        say(as_json, found.to_dict(), str(found))
        return 0 if found.fits else 1
    folder_is_free(options)
    trainer = build().trainer(options)
    signal = trainer.run()
    if not trainer.accelerator.is_main_process:
        return 128 + signal if signal else 0
    last = trainer.journal.last
    told = {
        "out": str(options.out),
        "step": trainer.done,
        "steps": trainer.recipe.steps,
        "stopped_by": signal or None,
    } | last
    text = f"stopped after step {trainer.done}; continue with --resume" if signal else "done"
    figures = ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in last.items() if "loss" in k)
    say(as_json, told, f"{text}: {figures}; the model is in {options.out}")
    return 128 + signal if signal else 0
