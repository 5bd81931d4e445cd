"""What is measured: systems whose random weights all matter, what is asked of them, and the plain contestant of each."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nextset import Model, Pick, System, spec
from nextset.decode import Constant, Guidance
from nextset.errors import UsageError
from nextset.heads import Diffusion
from nextset.layout import Continuous
from nextset.nn.diffusion import Strided
from nextset.noise import Noise
from nextset.orders import Random
from nextset.tokenizers.kl_vae import KLVAE
from nextset.tokenizers.maskgit_vq import MaskGITVQ
from nextset.tokenizers.multiscale import MultiScaleVQ
from nextset.tokenizers.vq import VQ

from .plain.aim import PlainAim
from .plain.arpg import PlainArpg
from .plain.hugging_face import HuggingFaceLlama
from .plain.llamagen import PlainLlama
from .plain.mar import PlainMar
from .plain.rar import PlainRar
from .plain.var import PlainVar

GREEDY, SEED = Pick(temperature=0), 0
STEPS, EVALUATIONS = 8, 12  # of MAR here; its authors take 64 or 256 steps of 100

Draw = Callable[[int | None], Tensor]  # given how many steps, None: all


@dataclass(frozen=True)
class Asked:
    """What is drawn: pictures of as many classes as there are in a `batch`, guided up to `scale` (None: as the system says).

    Only the first `steps` steps are drawn where it says so; sites that are then unknown hold zeros.
    """

    batch: int
    scale: float | None = None
    steps: int | None = None

    @property
    def labels(self) -> Tensor:
        """(B,)."""
        return torch.arange(self.batch)

    def guidance(self, system: System) -> Guidance:
        """The schedule."""
        if self.scale is None:
            return system.guidance
        if isinstance(system.guidance, Constant):
            return Constant(self.scale)
        return replace(system.guidance, scale=self.scale)  # type: ignore[call-arg]

    def top(self, system: System) -> float:
        """The scale where guidance is strongest."""
        found: float = getattr(self.guidance(system), "scale", 1.0)
        return found

    def ours(self, model: Model) -> Draw:
        """The likeliest tokens (B, N), or latents (B, N, C) at temperature 1: vectors are drawn, and have no likeliest."""
        system = model.system
        pick = Pick() if isinstance(system.tokenizer.unit, Continuous) else GREEDY

        def draw(steps: int | None) -> Tensor:
            stream = model.stream(self.labels, seed=SEED, guidance=self.guidance(system), pick=pick)
            (last,) = collections.deque(itertools.islice(stream, steps), maxlen=1)
            return last.decoding.tokens.data

        return draw

    def plain(self, model: Model) -> Draw:
        """The same by the plain contestant. Order and noise are those of `ours`, drawn beforehand: their time is not counted."""
        network, labels, top = model.network, self.labels, self.top(model.system)
        noise = Noise(SEED, range(self.batch))
        order = model.system.order.plan(network.layout, noise).perm
        numbers = network.head.draw(noise, network.layout.sites)
        match kind(model.system):
            case "var":
                var = PlainVar(network, model.tokenizer).eval()
                return lambda steps: var.generate(labels, top, steps)
            case "mar":
                mar = PlainMar(network).eval()
                return lambda steps: mar.generate(labels, top, order, numbers, steps)
            case "arpg":
                arpg = PlainArpg(network).eval()
                return lambda steps: arpg.generate(labels, top, order, steps)
            case "rar":
                rar = PlainRar(network).eval()
                return lambda steps: rar.generate(labels, top, steps)
            case "aim":
                aim = PlainAim(network).eval()
                return lambda steps: aim.generate(labels, top, steps)
        llama = PlainLlama(network).eval()
        return lambda steps: llama.generate(labels, top, steps)

    def transformers(self, model: Model) -> Draw:
        """Hugging Face's Llama of the same shape. Raises UsageError where it is not installed."""
        other = HuggingFaceLlama(model.network)
        return lambda steps: other.generate(self.labels, self.top(model.system), steps)


def kind(system: System) -> str:
    """Which of the plain contestants is like it: the name of its module. Each says for itself what it refuses."""
    wirings = {"Upsampled": "var", "Queries": "arpg", "Stepped": "rar", "Masked": "mar"}
    found = wirings.get(type(system.wiring).__name__)
    return found or ("llamagen" if type(system.backbone).__name__ == "Llama" else "aim")


def subject(name: str) -> System:
    """A system of the catalogue over a tokenizer that weighs little, since nothing is painted; MAR in fewer steps and evaluations."""
    system = spec(name)
    tokenizer, small = system.tokenizer, dict(width=32, multipliers=(1, 1, 1, 1, 1), blocks=1)
    if isinstance(tokenizer, VQ | MultiScaleVQ | MaskGITVQ | KLVAE) and len(tokenizer.multipliers) == 5:
        system = replace(system, tokenizer=replace(tokenizer, **small))  # type: ignore[arg-type]
    if isinstance(system.head, Diffusion) and isinstance(system.order, Random) and system.layout.sites > STEPS:
        head = replace(system.head, spacing=Strided(EVALUATIONS))
        system = replace(system, head=head, order=replace(system.order, steps=STEPS))
    return system


def enlivened(system: System) -> Model:
    """The model, evaluating, with weights that are always the same, and random where they are zero at first: else tokens say little."""
    torch.manual_seed(SEED)
    model = system.build().eval()
    for weight in model.network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.02)
    return model


def others(model: Model, asked: Asked, names: tuple[str, ...]) -> tuple[dict[str, Draw], dict[str, str]]:
    """Ways to draw by those who are at hand, and of the rest why they are not."""
    found, absent = {}, {}
    for name in names:
        try:
            found[name] = asked.plain(model) if name == "plain" else asked.transformers(model)
        except UsageError as error:
            absent[name] = str(error)
    return found, absent
