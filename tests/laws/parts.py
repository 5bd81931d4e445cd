"""Every leaf of every kind of part, found by walking the package, and toy instances that laws can be checked on.

A new leaf needs an instance in TOYS (a condition also in requests.py); the laws then run on it, and fail without one.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from nextset.backbones import (
    Backbone,
    Bert,
    Llama,
    MaskedAutoencoder,
    Readouts,
    Stacked,
    Transformer,
    Twofold,
    TwoPass,
    UViT,
)
from nextset.conditions import Attended, Captions, Condition, Label, Text, Unconditional, Words
from nextset.decode import (
    Clipped,
    Constant,
    CosineRamp,
    Guidance,
    Inside,
    Interval,
    Linear,
    Pick,
    PowerCosine,
    Proportional,
    Ramp,
)
from nextset.errors import UsageError
from nextset.heads import Categorical, DepthTransformer, Diffusion, Epsilon, Flow, Head, Independent, Staged, Tied
from nextset.layout import Continuous, Discrete, Layout, Tokens, grid, line, pyramid, video
from nextset.mixers import Attention, BiasedAttention, CosineAttention, Exact, Keeping, Mamba2, Mixer, Window
from nextset.mixers.rounded import Int8, Narrow
from nextset.nn.diffusion import Even, Strided
from nextset.nn.embedding import CodeVectors, Table
from nextset.nn.feedforward import GEGLU, MLP
from nextset.nn.flow import Euler, EulerMaruyama
from nextset.nn.masking import Arccos, Cosine, Power
from nextset.nn.modulation import Each, Grouped
from nextset.nn.norm import RMS, Chain, Layer
from nextset.nn.places import ResizedMap, ScaleTable
from nextset.nn.reading import Reader
from nextset.nn.rotary import ByOwnAndNext, BySpread
from nextset.objectives import (
    AnyOrder,
    Captioned,
    CleanContext,
    MaskedDiffusion,
    MaskedShare,
    MaskedTokens,
    NextPatch,
    NextSet,
    NoisyContext,
    Objective,
    SelfCorrection,
)
from nextset.objectives.adversarial import TokenizerLoss
from nextset.orders import (
    Annealed,
    Budget,
    Cells,
    Confidence,
    Diagonal,
    Falling,
    Mixture,
    Order,
    Random,
    Raster,
    Regions,
    Rising,
    Scales,
    Schedule,
    Schedules,
    Subsamples,
    Unmasking,
    Wavefront,
)
from nextset.spec import Spec
from nextset.tokenizers.absent import Absent
from nextset.tokenizers.base import Tokenizer
from nextset.tokenizers.bsq import MultiScaleBSQ
from nextset.tokenizers.hybrid import HybridVQ
from nextset.tokenizers.kl_vae import KLVAE
from nextset.tokenizers.maskgit_vq import MaskGITVQ
from nextset.tokenizers.multiscale import MultiScaleVQ
from nextset.tokenizers.patch import Patch
from nextset.tokenizers.pixel import Pixel
from nextset.tokenizers.proxy_titok import ProxyTiTok
from nextset.tokenizers.rq import RQ
from nextset.tokenizers.scalable import ScalableVQ
from nextset.tokenizers.slotted import ViT
from nextset.tokenizers.titok import TiTok
from nextset.tokenizers.titok_vae import TiTokVAE
from nextset.tokenizers.vq import VQ
from nextset.wirings import (
    Beside,
    Causal,
    Coded,
    Directed,
    Groups,
    Injected,
    Instructions,
    Masked,
    Memory,
    Mutual,
    Neighbours,
    Queries,
    Shift,
    Stepped,
    Targeted,
    Upsampled,
    Wiring,
)

from .own import Growing

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
KINDS = (
    Tokenizer,
    Order,
    Schedule,
    Wiring,
    Memory,
    Backbone,
    Mixer,
    Keeping,
    Head,
    Condition,
    Objective,
    Guidance,
    Pick,
)
APART = (TokenizerLoss, ViT)  # trains tokenizers, and is a piece of some: no parts of a system

TOYS: tuple[Spec, ...] = (
    Absent(5, 2, stride=2),
    Absent(dim=3, line=4),
    Pixel(5),
    Pixel(2, 3),
    Patch(2),
    Patch(1, 3),
    VQ(8, 4, 8, (1, 2), blocks=1, latent=8, groups=4),
    KLVAE(4, 8, (1, 2), blocks=1, groups=4, channels=1, attention=(0, 1)),
    KLVAE(2, 8, (1, 2), blocks=1, groups=4, attention=(), scale=None),
    TiTok(8, 4, 3, 4, ViT(8, 1, 2, 2), ViT(8, 2, 2, 4), channels=1),
    TiTok(8, 4, 5, 16, ViT(8, 1, 2, 4), ViT(8, 1, 2, 8), normalise=True),
    ProxyTiTok(8, 4, 3, 4, ViT(8, 1, 2, 4), ViT(8, 1, 2, 2), MaskGITVQ(8, 4, 8, (1, 2), blocks=1, groups=4)),
    TiTokVAE(3, 2, 4, ViT(8, 1, 2, 2), ViT(8, 1, 2, 2), channels=1),
    TiTokVAE(3, 2, 4, ViT(8, 1, 2, 2), ViT(8, 1, 2, 2), scale=None),
    RQ(8, 4, 3, 8, (1, 2), blocks=1, latent=8, groups=4),
    RQ(8, 4, 1, 8, (1, 2), blocks=1, attention=(0,), latent=8, groups=4),
    RQ(8, 4, 2, 8, (1, 2), blocks=1, attention=(), latent=8, groups=4, shared=False),
    Raster(),
    Random(),
    Random(1),
    Mixture(0.5),
    Annealed(),
    Diagonal(),
    Random(1, Falling(Cosine())),
    Random(1, Falling(Arccos())),
    MaskGITVQ(8, 4, 8, (1, 2), blocks=1, groups=4),
    Budget((1, 2, 3)),
    Confidence(2),
    Confidence(3, Cosine(), (2.0, 1.0), (2.0, 0.0), (1.3, 0.5)),
    Unmasking(3),
    Unmasking(4, Arccos(), Cosine()),
    Rising(),
    Falling(Cosine()),
    Falling(Arccos()),
    MultiScaleVQ(8, 4, (1, 2), 8, (1, 2), blocks=1, groups=4, phis=2),
    MultiScaleVQ(8, 4, (1, 2, 4), 8, (1,), blocks=1, groups=4, channels=1, phis=1),
    MultiScaleVQ(8, 4, (1, 2), 8, (1, 2), blocks=1, groups=4, blend=0.0, kernel=1, angle=True),
    HybridVQ(MultiScaleVQ(8, 4, (1, 2), 8, (1, 2), blocks=1, groups=4, phis=2)),
    HybridVQ(MultiScaleVQ(8, 4, (1, 2, 4), 8, (1,), blocks=1, groups=4, channels=1, phis=1), 0.0),
    ScalableVQ(VQ(8, 4, 8, (1, 2), blocks=1, latent=8, groups=4), (1, 2)),
    MultiScaleBSQ(4, ((1, 1), (2, 2)), 1, 8, (1, 2), blocks=1, groups=4),
    MultiScaleBSQ(3, ((1, 1), (2, 1)), 2, 4, (1, 2), 1, 4, channels=1, rising=(2, 1), weight=0.0),
    Scales(),
    Schedules((1,), ((2, 3, 1),), 0.3, (0.5,), 0),
    Regions(),
    Regions(1, 2),
    Wavefront(),
    Shift(),
    Coded(),
    Injected(),
    Instructions(2),
    Masked(),
    Targeted(),
    Stepped(Targeted()),
    Stepped(Shift()),
    Directed(Table()),
    Directed(CodeVectors()),
    Upsampled(),
    Upsampled(ResizedMap(4)),
    Upsampled(ScaleTable(3)),
    Cells(1, 2),
    Cells(2, 1),
    Subsamples(2, 2),
    Subsamples(1, 2),
    Beside(),
    Beside(modulated=False, bias=False),
    Llama(16, 2, Attention(2), hidden_multiple=16),
    Llama(16, 2, Attention(4, 2), dropout=0.0, hidden_multiple=16, rotary_base=100.0),
    Llama(16, 2, Attention(2), hidden_multiple=16, turning=ByOwnAndNext()),
    Transformer(16, 2, BiasedAttention(2), norm=RMS(), final=RMS(), rotary_base=100.0, turning=ByOwnAndNext()),
    Readouts(Llama(16, 3, Attention(2), hidden_multiple=16), (0, 2)),
    Groups(2),
    Groups(6),
    Neighbours(),
    Neighbours(tall=True),
    Twofold(Llama(16, 1, Attention(2), hidden_multiple=16), 2),
    Transformer(16, 2, BiasedAttention(2), learned=True),
    Transformer(16, 2, BiasedAttention(2, Layer()), None, RMS(), rotary_base=100.0, final=Chain((RMS(), Layer()))),
    Transformer(16, 2, BiasedAttention(2), modulation=Each(0.1), learned=True),
    Transformer(16, 3, BiasedAttention(2), modulation=Grouped(2), modulated_end=False, learned=True),
    MaskedAutoencoder(16, 1, BiasedAttention(2), prefix=1, decoder_depth=2, decoder_mixer=BiasedAttention(4)),
    Bert(16, 3, BiasedAttention(2), MLP(24)),
    UViT(16, 4, BiasedAttention(2, inner=False), MLP(32), dropout=0.1),
    TwoPass(16, 2, Attention(2), 2, hidden_multiple=16),
    TwoPass(16, 4, Mamba2(4, 8, chunk=3), 2, hidden_multiple=16),
    Transformer(16, 1, BiasedAttention(2), GEGLU(), RMS(affine=False), start=RMS(), learned=True),
    Stacked(
        Transformer(16, 2, BiasedAttention(2), modulation=Each(0.1), learned=True, final=RMS(), modulated_end=False),
        Transformer(16, 1, BiasedAttention(2), GEGLU(20), modulation=Each(0.1), rotary_base=100.0, dropout=0.0),
    ),
    Attention(2),
    Attention(4, 2),
    Mamba2(4, 8, chunk=3),
    Mamba2(3, 4, 1, conv=2, chunk=1),
    Transformer(16, 2, CosineAttention(2), modulation=Grouped(1, 0.1, 0.2), rotary_base=100.0),
    Transformer(
        16,
        2,
        CosineAttention(2),
        rotary_base=100.0,
        turning=BySpread(((4, 6),)),
        reader=Reader(2, Layer(), 0.5),
        dropout=0.0,
    ),
    CosineAttention(2),
    BiasedAttention(2),
    BiasedAttention(2, Layer()),
    BiasedAttention(2, RMS(affine=False)),
    Exact(),
    Narrow(),
    Narrow("float16"),
    Int8(),
    Window(3, 1),
    Categorical(),
    Categorical(bias=True, std=0.02),
    Diffusion(8, 1, Even(5)),
    Diffusion(8, 2, Strided(4), copies=1, levels=100),
    Tied(),
    DepthTransformer(2, BiasedAttention(2)),
    Staged(std=0.02),
    Independent(std=0.02),
    Flow(EulerMaruyama(3)),
    Flow(Euler(2), std=0.1),
    Epsilon(3, std=0.1),
    Unconditional(),
    Label(3, dropout=0.3),
    Label(3, slots=2, vector=True),
    Label(3, slots=0, vector=True),
    Text(6, 4, dropout=0.3),
    Attended(6, 4, 2, dropout=0.3),
    Words(5, 3, dropout=0.3),
    Words(4, dropout=0.3),
    Words(4, 2, dropout=None),
    Words(1, dropout=None),
    Words(5, 3, dropout=None, predicted=True),
    Captions(("a", "b"), 3, 1, 2, dropout=0.3),
    Captions(("a", "b"), 2, 1, 2, vector=True),
    NextSet(),
    MaskedShare(),
    MaskedShare(0.3, 0.6, 0.1),
    MaskedTokens(),
    MaskedTokens(Cosine(), 0.0),
    AnyOrder(),
    MaskedDiffusion(),
    MaskedDiffusion(Power(3.0), 1e-3),
    Captioned(),
    NextPatch(),
    SelfCorrection(),
    SelfCorrection(0.0, reweighted=False),
    CleanContext(),
    NoisyContext(),
    Constant(2.0),
    Linear(3.0, 0.5),
    PowerCosine(3.0, 2.0),
    Proportional(3.0, 0.5),
    Proportional(3.0, after=True),
    Proportional(3.0, after=True, left=1),
    Ramp(3.0, 0.5),
    CosineRamp(3.0, 2.0),
    Inside(2.0, -1),
    Interval(2.0, 1, 3),
    Clipped(3.0, steps=3, largest=8),
    Pick(),
    Pick(0.7, 3, 0.9),
    Growing(),
    Queries(),
    Queries(Mutual()),
    Causal(),
    Mutual(),
)

# sizes small enough to enumerate; a part that refuses some of them must still accept others
LAYOUTS = (grid(2, 2), grid(3, 2), grid(1, 1), line(5), video(2, 2, 2), pyramid(1, 2, 3))
STEPS = ((1, 1, 1, 1), (1,), (2, 2), (1, 4, 9), (3, 1, 2), (6,), (1, 1, 2, 2), (1, 2, 3, 2, 1), (1, 2, 2, 1))
UNITS = (Discrete(5), Discrete(3, codes=2), Continuous(2))


class Vectors:
    """What parts may read of a tokenizer: four numbers for every id, and what scales are predicted from."""

    table = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        if ids.is_floating_point():  # vectors already
            return torch.nn.functional.pad(ids, (0, self.table.shape[1] - ids.shape[-1]))
        return self.table[ids]

    def feedback(self, tokens: Tokens, scales: range) -> torch.Tensor:
        """For every site of a scale the sum of all that is known before it, turned by its place."""
        ends, found = (0, *tokens.layout.ends), []
        for k in scales:
            sites = math.prod(tokens.layout.blocks[k])
            known = self.embed(tokens.data[:, : ends[k]]).flatten(1, -2).sum(1, keepdim=True)
            found.append(known * torch.arange(1, sites + 1)[:, None])
        return torch.cat(found, dim=1)


CODEC = Vectors()


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
    return [cls for cls in below(Spec) if cls.__module__.startswith(homes) and not inspect.isabstract(cls)]


def below(cls: type[Spec]) -> Iterator[type[Spec]]:
    for child in cls.__subclasses__():
        yield child
        yield from below(child)


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
