"""Every leaf of every kind of part, found by walking the package, and toy instances that laws can be checked on.

A new leaf needs an instance in TOYS (a condition also in ASKED and REFUSED); the laws then run on it, and fail without one.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from nextset.backbones import Backbone, Llama, Transformer, Twofold
from nextset.conditions import Condition, Label, Text, Unconditional
from nextset.decode import Constant, Guidance, Interval, Linear, Pick, PowerCosine, Proportional
from nextset.errors import UsageError
from nextset.heads import Categorical, Head
from nextset.layout import Continuous, Discrete, Layout, grid, line, pyramid, video
from nextset.mixers import Attention, BiasedAttention, Mixer
from nextset.nn.modulation import Each, Grouped
from nextset.nn.norm import RMS, Layer
from nextset.objectives import NextPatch, NextSet, Objective
from nextset.objectives.adversarial import TokenizerLoss
from nextset.orders import Order, Random, Raster, Regions, Wavefront
from nextset.spec import Spec
from nextset.tokenizers.base import Tokenizer
from nextset.tokenizers.patch import Patch
from nextset.tokenizers.pixel import Pixel
from nextset.tokenizers.vq import VQ
from nextset.wirings import Groups, Instructions, Masked, Neighbours, Shift, Wiring

from .own import Growing, Queries

Part = TypeVar("Part", bound=Spec)

FOLDERS = (
    "tokenizers",
    "orders",
    "wirings",
    "backbones",
    "mixers",
    "heads",
    "conditions",
    "objectives",
    "decode",
    "systems",
)
KINDS = (Tokenizer, Order, Wiring, Backbone, Mixer, Head, Condition, Objective, Guidance, Pick)
APART = (TokenizerLoss,)  # trains tokenizers, and is no part of a system

TOYS: tuple[Spec, ...] = (
    Pixel(5),
    Pixel(2, 3),
    Patch(2),
    Patch(1, 3),
    VQ(8, 4, 8, (1, 2), blocks=1, latent=8, groups=4),
    Raster(),
    Random(),
    Random(1),
    Regions(),
    Regions(1, 2),
    Wavefront(),
    Shift(),
    Instructions(2),
    Masked(),
    Groups(2),
    Groups(6),
    Neighbours(),
    Neighbours(tall=True),
    Llama(16, 2, Attention(2), hidden_multiple=16),
    Llama(16, 2, Attention(4, 2), dropout=0.0, hidden_multiple=16, rotary_base=100.0),
    Twofold(Llama(16, 1, Attention(2), hidden_multiple=16), 2),
    Transformer(16, 2, BiasedAttention(2), learned=True),
    Transformer(16, 2, BiasedAttention(2, Layer()), None, RMS(), rotary_base=100.0, final=RMS()),
    Transformer(16, 2, BiasedAttention(2), modulation=Each(0.1), learned=True),
    Transformer(16, 3, BiasedAttention(2), modulation=Grouped(2), modulated_end=False, learned=True),
    Attention(2),
    Attention(4, 2),
    BiasedAttention(2),
    BiasedAttention(2, Layer()),
    BiasedAttention(2, RMS(affine=False)),
    Categorical(),
    Categorical(bias=True, std=0.02),
    Unconditional(),
    Label(3, dropout=0.3),
    Label(3, slots=2, vector=True),
    Label(3, slots=0, vector=True),
    Text(6, 4, dropout=0.3),
    NextSet(),
    NextPatch(),
    Constant(2.0),
    Linear(3.0, 0.5),
    PowerCosine(3.0, 2.0),
    Proportional(3.0, 0.5),
    Proportional(3.0, after=True),
    Interval(2.0, 1, 3),
    Pick(),
    Pick(0.7, 3, 0.9),
    Growing(),
    Queries(),
)

# sizes small enough to enumerate; a part that refuses some of them must still accept others
LAYOUTS = (grid(2, 2), grid(3, 2), grid(1, 1), line(5), video(2, 2, 2), pyramid(1, 2, 3))
STEPS = ((1, 1, 1, 1), (1,), (2, 2), (1, 4, 9), (3, 1, 2), (6,), (1, 1, 2, 2), (1, 2, 3, 2, 1), (1, 2, 2, 1))
UNITS = (Discrete(5), Discrete(3, codes=2), Continuous(2))


def _features(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoded captions of 1, 2, 3, 1, 2, ... tokens, as an encoder pads them."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(3) <= (torch.arange(batch) % 3)[:, None]
    return torch.randn(batch, 3, 6, generator=generator), mask


class Vectors:
    """What parts may read of a tokenizer: four numbers for every id, and what scales are predicted from."""

    table = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table[ids]

    def feedback(self, tokens: torch.Tensor, scale: int) -> torch.Tensor:
        return self.table[tokens[:, : (scale + 1) ** 2]]  # the sites of a pyramid(1, 2, 3)


CODEC = Vectors()

# what a user asks of each kind of condition for a batch, different along it
ASKED: dict[type[Condition], Callable[[int], Any]] = {
    Unconditional: lambda batch: None,
    Label: lambda batch: torch.arange(batch) % 2,
    Text: _features,
}
REFUSED: dict[type[Condition], tuple[Any, ...]] = {
    Unconditional: ("a cat", 0, torch.zeros(2, dtype=torch.int64), [1]),
    Label: ("a cat", -1, 4, 0.5, True, [[1]], [0, 9], {"label": 1}, [0.5], torch.zeros(1, 1, dtype=torch.int64)),
    Text: (
        "a cat",
        ["a cat", "a dog"],
        3,
        torch.zeros(2, 3, 5),
        torch.zeros(2, 5, 6),
        torch.zeros(2, 0, 6),
        torch.zeros(3, 6),
        torch.zeros(()),
        torch.zeros(2, 3, 6, dtype=torch.int64),
        torch.full((1, 2, 6), torch.nan),
        (torch.zeros(2, 3, 6), torch.ones(2, 2)),
        (torch.zeros(2, 3, 6), torch.zeros(2, 3)),
        (torch.zeros(2, 3, 6), None),
    ),
}


def asked(part: Condition, batch: int) -> Any:
    """What a user might ask of `part`."""
    return ASKED[type(part)](batch)


def toys(kind: type[Part]) -> list[Part]:
    """The toy instances of a kind."""
    return [toy for toy in TOYS if isinstance(toy, kind)]


def leaves() -> list[type[Spec]]:
    """Every concrete spec that the folders of parts and of systems define."""
    for folder in FOLDERS:
        package = importlib.import_module(f"nextset.{folder}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    homes = tuple(f"nextset.{folder}." for folder in FOLDERS)
    return [cls for cls in _below(Spec) if cls.__module__.startswith(homes) and not inspect.isabstract(cls)]


def _below(cls: type[Spec]) -> Iterator[type[Spec]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)


def fitting(order: Order) -> list[Layout]:
    """The layouts that an order takes."""
    return [layout for layout in LAYOUTS if accepts(order.sizes, layout)]


def accepts(function: Callable[..., Any], *args: Any) -> bool:
    """Whether a part takes these arguments; what it refuses must be refused with a UsageError."""
    try:
        function(*args)
    except UsageError:
        return False
    return True
