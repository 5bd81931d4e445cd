"""The offline extractors: small classifiers of the embedded data sets, trained once by a fixed recipe and kept on disk.

They live in `$NEXTSET_CACHE` (default `~/.cache/nextset`) under a name that carries a hash of the recipe and of the data. Training
is seeded and runs on one CPU thread, so it repeats itself exactly on one kind of CPU and one version of torch; elsewhere rounding
may lead to other weights, and then to another hash in the results.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ..data.base import Dataset
from ..data.loader import once
from ..data.open import open_dataset
from ..digest import weights_hash
from ..errors import NextsetError, UsageError, nearest
from ..files import write_atomically
from ..folders import load_exactly, load_tensors
from ..spec import Spec
from .features import ConvExtractor
from .places import cache_folder

HASH, ACCURACY = "kept.sha256", "kept.accuracy"  # entries of a cache file beside the weights
BATCH, SMOOTHING, READ = 64, 0.05, 256


@dataclass(frozen=True)
class Augment(Spec):
    """Random pictures of one: turned by up to `turn` degrees, scaled and sheared by up to the fraction `scale`, shifted by up to
    the fraction `shift` of the size; the outside is black. Then normal noise of deviation `noise`."""

    turn: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    noise: float = 0.0

    def apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] to such variants of them."""
        if self.turn or self.scale or self.shift:
            grid = F.affine_grid(self._maps(len(images), generator), list(images.shape), align_corners=False)
            images = F.grid_sample(images + 1, grid, align_corners=False) - 1  # the padding's 0 is black then
        return images + self.noise * torch.randn(images.shape, generator=generator)

    def _maps(self, batch: int, generator: torch.Generator) -> Tensor:
        turn, high, wide, shear, down, right = 2 * torch.rand(6, batch, generator=generator) - 1
        cos, sin = (turn * math.radians(self.turn)).cos(), (turn * math.radians(self.turn)).sin()
        top = torch.stack([cos * (1 + self.scale * wide), self.scale * shear - sin, 2 * self.shift * right], 1)
        bottom = torch.stack([sin, cos * (1 + self.scale * high), 2 * self.shift * down], 1)
        return torch.stack([top, bottom], 1)


@dataclass(frozen=True)
class Recipe(Spec):
    """How one classifier comes about: data set, shape of the pictures, network, training (AdamW, one-cycle schedule).

    `items` limits the training pictures to the first ones (0: all). A change of the code below needs a new version in `name`.
    """

    name: str
    data: str
    channels: int
    size: int
    classes: int
    width: int
    dim: int
    epochs: int
    augment: Augment
    items: int = 0
    lr: float = 8e-3
    seed: int = 0

    def network(self) -> ConvExtractor:
        """The untrained extractor."""
        return ConvExtractor(self.name, self.channels, self.size, self.classes, self.width, self.dim)


RECIPES = {
    "digits": Recipe("digits-cnn-v1", "digits", 1, 8, 10, 32, 64, 20, Augment(12.0, 0.12, 0.125, 0.1)),
    "shapes": Recipe("shapes-cnn-v1", "shapes", 3, 32, 36, 8, 64, 3, Augment(noise=0.05), items=16_000),
}


def trained(data: str) -> ConvExtractor:
    """The extractor of the data set `data` ("digits", "shapes"), read from the cache, or trained and put there.

    A damaged cache file is replaced, with a warning; a cache that cannot be written costs a warning, too. UsageError for
    a data set that has no recipe.
    """
    if data not in RECIPES:
        raise UsageError(
            f"no extractor comes with the data {data!r}{nearest(data, RECIPES)}; give your own, or features.tiny_random"
        )
    recipe = RECIPES[data]
    train_set = open_dataset(recipe.data, "train")
    path = cache_folder() / f"{recipe.name}-{_recipe_hash(recipe, train_set)}.safetensors"
    if path.exists():
        try:
            return _read(path, recipe)
        except (NextsetError, UsageError) as error:
            warnings.warn(f"{error}; training it anew")
    extractor = train(
        recipe, _tensors(train_set, recipe, recipe.items), _tensors(open_dataset(recipe.data, "test"), recipe)
    )
    _write(path, extractor)
    return extractor


def train(recipe: Recipe, train_set: tuple[Tensor, Tensor], test_set: tuple[Tensor, Tensor]) -> ConvExtractor:
    """Trains on (images (M, C, H, W) in [-1, 1], labels (M,)); measures `accuracy` on the test pair. On the CPU, one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are split by thread: their rounding must not depend on the machine's cores
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            extractor = recipe.network()
        _fit(extractor.net, recipe, *train_set)
        logits = torch.cat([extractor.logits(extractor.features(part)) for part in test_set[0].split(BATCH)])
    finally:
        torch.set_num_threads(threads)
    extractor.accuracy = (logits.argmax(1) == test_set[1]).double().mean().item()
    return extractor


def _fit(net: nn.Module, recipe: Recipe, images: Tensor, labels: Tensor) -> None:
    generator = torch.Generator().manual_seed(recipe.seed)
    net.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.lr, weight_decay=0.01)
    steps = recipe.epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=steps)
    order = torch.cat([torch.randperm(len(images), generator=generator) for _ in range(recipe.epochs)])
    for step in tqdm(range(steps), desc=f"training {recipe.name} (once)", disable=None, leave=False):
        chosen = order[step * BATCH : (step + 1) * BATCH]
        with torch.enable_grad():
            logits = net(recipe.augment.apply(images[chosen], generator))
            loss = F.cross_entropy(logits, labels[chosen], label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.requires_grad_(False).eval()


def _tensors(dataset: Dataset, recipe: Recipe, items: int = 0) -> tuple[Tensor, Tensor]:
    """Images and labels of the first `items` (0: all)."""
    parts = once(dataset, READ, (recipe.size, recipe.size), recipe.channels)
    batches = list(itertools.islice(parts, -(-items // READ) or None))
    images, labels = torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])
    return (images[:items], labels[:items]) if items else (images, labels)


def _recipe_hash(recipe: Recipe, dataset: Dataset) -> str:
    """Also of the first pictures, so that a data set that changed its looks gets a new classifier."""
    digest = hashlib.sha256(json.dumps([recipe.to_dict(), BATCH, SMOOTHING, len(dataset)], sort_keys=True).encode())
    for item in (dataset[i] for i in range(min(64, len(dataset)))):
        digest.update(item.image.tobytes() + bytes([item.label]))
    return digest.hexdigest()[:12]


# -- the cache file: weights, their hash (safetensors itself notices no flipped bit), the accuracy


def _write(path: Path, extractor: ConvExtractor) -> None:
    digest = torch.frombuffer(bytearray.fromhex(weights_hash(extractor)), dtype=torch.uint8)
    kept = {HASH: digest, ACCURACY: torch.tensor(extractor.accuracy, dtype=torch.float64)}
    state = {key: value.contiguous() for key, value in extractor.state_dict().items()}
    try:
        write_atomically(path, lambda temporary: save_file(state | kept, temporary))
    except (NextsetError, OSError) as error:
        warnings.warn(f"the extractor will be trained again next time: {error}")


def _read(path: Path, recipe: Recipe) -> ConvExtractor:
    state = load_tensors(path)
    digest, accuracy = state.pop(HASH, None), state.pop(ACCURACY, None)
    extractor = recipe.network()
    load_exactly(extractor, state, str(path))
    if digest is None or accuracy is None or bytes(digest.tolist()).hex() != weights_hash(extractor):
        raise NextsetError(f"{path} is damaged: its weights do not have the hash that it tells")
    extractor.accuracy = accuracy.item()
    return extractor
