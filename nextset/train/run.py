"""From names to a trainer: what `nextset train` and `nextset train-tokenizer` put together, for Python as well."""

from __future__ import annotations

import dataclasses
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..conditions import Label, Words
from ..data.base import Dataset
from ..data.batch import Batches
from ..data.loader import Loader
from ..data.open import open_dataset
from ..data.tokens import INDEX, TokenCache, TokenLoader
from ..digest import fingerprint
from ..errors import UsageError
from ..folders import load_exactly
from ..layout import Layout
from ..model import Model
from ..objectives.adversarial import TokenizerLoss
from ..sampling import Share
from ..system import System
from ..tokenizers.base import Tokenizer
from ..weights import load_tokenizer
from .generator import Generator
from .phase import Trainee
from .recipe import Options, Recipe
from .tokenizer import Revival, TokenizerTrainee
from .trainer import Trainer


@dataclass(frozen=True)
class Setup:
    """A run before any device is asked: what is trained, on what, judged by what."""

    trainee: Trainee
    train: Batches
    held_out: Batches | None
    about: dict[str, Any]
    recipe: Recipe
    tokens: int  # sites of an image

    def trainer(self, options: Options) -> Trainer:
        """The trainer; see there for what it raises."""
        return Trainer(self.trainee, self.recipe, options, self.train, self.held_out, self.about)

    def run(self, out: str | Path, **options: Any) -> None:
        """Trains into the folder `out`; `options` are fields of `Options`.

        A signal that stops the training goes on once the state is saved: as KeyboardInterrupt for Ctrl-C, else as SystemExit, so
        that nobody takes what is half trained for a whole.
        """
        number = self.trainer(Options(Path(out), **options)).run()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if number:
            raise SystemExit(128 + number)


def set_up_generator(
    system: System | Model, data: str, recipe: Recipe, *, tokenizer: str = "", held_out: str = "", workers: int = 0
) -> Setup:
    """Training `system`, or going on from a loaded model, on `data` (see `open_dataset`, or a folder of a token cache).

    `tokenizer` is the folder of a trained one, which a system with a learned tokenizer needs; `held_out` other data to
    judge on, pictures or a cache (default: the test split of `data`; of a cache none). Raises UsageError where these do not fit together.
    """
    model = _model(system, tokenizer, recipe.seed)

    def opened(source: str, split: str) -> Batches:
        """Pictures, or tokens, to train or to judge on."""
        if not _is_cache(source):
            dataset = open_dataset(source, split)
            _check_labels(model.system, dataset.classes, source)
            shape = model.system.size, model.system.tokenizer.channels
            return _loader(dataset, *shape, recipe, workers, shuffle=split == "train")
        _check_tokens_serve(model.system, source)
        _check_labels(model.system, TokenCache(source).classes, source)
        made_by = load_tokenizer(tokenizer) if tokenizer else (model.system.tokenizer, model.tokenizer)
        needs = model.system.layout, fingerprint(made_by[1], made_by[0])
        return _cached(source, *needs, recipe, workers, shuffle=split == "train")

    train = opened(data, "train")
    held_out = held_out or ("" if _is_cache(data) else data)  # a cache holds one split
    judged = opened(held_out, "test") if held_out else None
    about = {"kind": "generator", "system": model.system.to_dict(), "data": data}
    return Setup(
        Generator(model, recipe.steps, isinstance(system, Model)),
        train,
        judged,
        about,
        recipe,
        model.system.layout.sites,
    )


def set_up_tokenizer(
    spec: Tokenizer,
    size: tuple[int, int],
    data: str,
    recipe: Recipe,
    *,
    loss: TokenizerLoss,
    revival: Revival,
    held_out: str = "",
    workers: int = 0,
) -> Setup:
    """Training the tokenizer `spec` on images of `size` (height, width) from `data`."""
    spec.layout(size)  # says now where the size does not fit
    torch.manual_seed(recipe.seed)
    trainee = TokenizerTrainee(spec, loss, revival, recipe.steps)
    if not any(True for _ in trainee.module.parameters()):
        raise UsageError(f"tokenizer {spec} has no weights to train; choose a learned one, such as VQ")
    train = _loader(open_dataset(data, "train"), size, spec.channels, recipe, workers, shuffle=True)
    judged = _held_out(held_out or data, size, spec.channels, recipe, workers)
    about = {"kind": "tokenizer", "tokenizer": spec.to_dict(), "loss": loss.to_dict(), "size": list(size), "data": data}
    return Setup(trainee, train, judged, about, recipe, spec.layout(size).sites)


# -- the model


def _model(system: System | Model, tokenizer: str, seed: int) -> Model:
    if isinstance(system, Model):
        return system
    torch.manual_seed(seed)
    if not tokenizer:
        model = system.build()
        if any(True for _ in model.tokenizer.parameters()):
            raise UsageError(
                f"tokenizer: {type(system.tokenizer).__name__} is learned, so give the folder of a trained one "
                "(made by `nextset train-tokenizer`)"
            )
        return model
    spec, module = load_tokenizer(tokenizer)
    model = dataclasses.replace(system, tokenizer=spec).build()
    if model.device.type != "meta":  # a dry run counts only shapes
        load_exactly(model.tokenizer, module.state_dict(), tokenizer)
    return model


def _check_tokens_serve(system: System, data: str) -> None:
    if system.order.varied:
        raise UsageError(
            f"data {data!r} holds tokens of one layout, but order {type(system.order).__name__} trains on another one each step: "
            "give images, or a system with order Scales"
        )
    if system.objective.pictures:
        raise UsageError(
            f"data {data!r} holds tokens, but objective {type(system.objective).__name__} has a say in how pictures are encoded: "
            "give images, or a system with objective NextSet"
        )


def _check_labels(system: System, classes: tuple[str, ...], data: str) -> None:
    condition = system.condition
    if isinstance(condition, Words) and condition.vocab > 1:
        known = condition.vocab
    elif isinstance(condition, Label):
        known = condition.classes
    else:
        return
    if not classes:
        raise UsageError(
            f"data {data!r} has no classes; train an unconditional system, or sort it into a folder a class"
        )
    if len(classes) > known:
        field = "vocab" if isinstance(condition, Words) else "classes"
        raise UsageError(f"data {data!r} has {len(classes)} classes, the system only {known}: set condition.{field}")


# -- the data


def _is_cache(data: str) -> bool:
    folder = Path(data)
    return (folder / INDEX).is_file() and any(folder.glob("*.safetensors"))


def _loader(
    dataset: Dataset, size: tuple[int, int], channels: int, recipe: Recipe, workers: int, shuffle: bool
) -> Loader:
    share = Share.from_environment()
    augment = recipe.augment and shuffle
    return Loader(
        dataset, recipe.batch, size, channels, recipe.seed, shuffle, augment, share.rank, share.world, workers
    )


def _held_out(data: str, size: tuple[int, int], channels: int, recipe: Recipe, workers: int) -> Loader:
    return _loader(open_dataset(data, "test"), size, channels, recipe, workers, shuffle=False)


def _cached(data: str, layout: Layout, maker: str, recipe: Recipe, workers: int, shuffle: bool) -> TokenLoader:
    cache = TokenCache(data)
    cache.check_tokenizer(maker)
    if cache.layout != layout:
        raise UsageError(f"data {data!r} holds tokens on {cache.layout}, the system needs {layout}")
    share = Share.from_environment()
    return TokenLoader(cache, recipe.batch, recipe.seed, shuffle, share.rank, share.world, workers)
