"""What is measured: systems with random weights that all matter, the numbers they draw from, and the plain contestant of each."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nextset import Model, Pick, System, spec
from nextset.conditions import Label
from nextset.heads import Diffusion
from nextset.layout import Continuous
from nextset.nn.diffusion import Strided
from nextset.noise import Noise
from nextset.orders import Random
from nextset.tokenizers.kl_vae import KLVAE
from nextset.tokenizers.maskgit_vq import MaskGITVQ
from nextset.tokenizers.multiscale import MultiScaleVQ
from nextset.tokenizers.vq import VQ

from .plain.aim import PlainAiM
from .plain.arpg import PlainARPG
from .plain.llamagen import PlainLlama
from .plain.mar import PlainMAR
from .plain.rar import PlainRAR
from .plain.var import PlainVAR

GREEDY, SEED = Pick(temperature=0), 0
EVALUATIONS, STEPS = 25, 8  # of MAR here, where its authors take 100 and 64 or 256


def light(system: System) -> System:
    """The system over a tokenizer of the same sites and codes that weighs little: for measurements that paint nothing."""
    tokenizer = system.tokenizer
    ones = (1, 1, 1, 1, 1)
    assert isinstance(tokenizer, VQ | MultiScaleVQ | MaskGITVQ | KLVAE), "those of the systems here"
    return replace(system, tokenizer=replace(tokenizer, width=32, multipliers=ones, blocks=1))


def system(name: str) -> System:
    """A published size, light; MAR with fewer steps and evaluations."""
    found = light(spec(name))
    if isinstance(found.head, Diffusion):
        assert isinstance(found.order, Random)
        head = replace(found.head, spacing=Strided(EVALUATIONS))
        found = replace(found, head=head, order=replace(found.order, steps=STEPS))
    return found


def build(found: System, std: float = 0.02) -> Model:
    """The model, evaluating, of weights that are always the same; matrices that start at zero are random, or nothing would be compared."""
    torch.manual_seed(SEED)
    model = found.build().eval()
    for weight in model.network.parameters():
        if weight.ndim >= 2 and not weight.any():
            nn.init.normal_(weight, std=std)
    return model


@dataclass(frozen=True)
class Asked:
    """What is drawn: `labels` (B,), guidance up to `scale`, and only the first `steps` steps (None: all)."""

    labels: Tensor
    scale: float
    steps: int | None = None

    def drawn(self, model: Model) -> Tensor:
        """By ours: the likeliest tokens (B, N), or latents (B, N, C) with temperature 1; sites after the last step hold zeros."""
        guidance = replace(model.system.guidance, scale=self.scale)  # type: ignore[call-arg]
        pick = Pick() if isinstance(model.system.tokenizer.unit, Continuous) else GREEDY
        stream = model.stream(self.labels, seed=SEED, guidance=guidance, pick=pick)
        (last,) = collections.deque(itertools.islice(stream, self.steps), maxlen=1)
        return last.decoding.tokens.data

    def plain(self, model: Model) -> Callable[[], Tensor]:
        """By the plain contestant on the weights of `model`, with the same order and noise, which it need not draw."""
        network, name = model.network, kind(model.system)
        noise = Noise(SEED, range(len(self.labels)))
        order = model.system.order.plan(network.layout, noise).perm
        numbers = network.head.draw(noise, network.layout.sites)
        asked = self.labels, self.scale
        if name == "var":
            var = PlainVAR(network, model.tokenizer).eval()
            return lambda: var.generate(*asked, self.steps)
        if name == "mar":
            mar = PlainMAR(network).eval()
            return lambda: mar.generate(*asked, order, numbers, self.steps)
        if name == "arpg":
            arpg = PlainARPG(network).eval()
            return lambda: arpg.generate(*asked, order, self.steps)
        others: dict[str, type[PlainLlama | PlainRAR | PlainAiM]] = {
            "llamagen": PlainLlama,
            "rar": PlainRAR,
            "aim": PlainAiM,
        }
        plain = others[name](network).eval()
        return lambda: plain.generate(*asked, self.steps)


def kind(found: System) -> str:
    """Which of the plain contestants is like this system."""
    backbone, head = type(found.backbone).__name__, type(found.head).__name__
    wiring = type(found.wiring).__name__
    by_part = {"Upsampled": "var", "Queries": "arpg", "Stepped": "rar", "Masked": "mar"}
    if wiring in by_part:
        return by_part[wiring]
    return "aim" if head == "Tied" and backbone == "Transformer" else "llamagen"


def scale(found: System) -> float:
    """Up to which a system is guided unless it is said."""
    reached: float = getattr(found.guidance, "scale", 1.0)
    return reached


def labels(found: System, batch: int) -> Tensor:
    """Different classes, (B,)."""
    assert isinstance(found.condition, Label)
    return torch.arange(batch) % found.condition.classes
