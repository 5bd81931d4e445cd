"""MAR as its repository draws: no cache, in each step the encoder on what is known and the decoder on every site, then for the sites of
the step a chain of denoisings in which guidance doubles everything, and class and time are embedded anew at each level.

Legend: B batch, N sites, n sites of a step, P class slots, D width, W width of the head, C channels of a token, S levels visited.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextset.backbones import MaskedAutoencoder
from nextset.conditions import Label
from nextset.errors import UsageError
from nextset.heads import Diffusion
from nextset.mixers import BiasedAttention
from nextset.orders import Random
from nextset.system import Network

from .llamagen import below, linear

EPS, WAVES = 1e-6, 256


def norm(weights: dict[str, Tensor], name: str) -> nn.LayerNorm:
    """The layer norm called `name`, on the weights themselves."""
    layer = nn.LayerNorm(weights[f"{name}.weight"].shape[0], eps=EPS, device="meta")
    layer.weight, layer.bias = (nn.Parameter(weights[f"{name}.{part}"].detach()) for part in ("weight", "bias"))
    return layer


class PlainBlock(nn.Module):
    """A block of a ViT."""

    def __init__(self, weights: dict[str, Tensor], heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = norm(weights, "mixer_norm"), norm(weights, "feedforward_norm")
        self.qkv, self.proj = linear(weights, "mixer.qkv"), linear(weights, "mixer.out")
        self.rise, self.fall = linear(weights, "feedforward.rise"), linear(weights, "feedforward.fall")

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        qkv = self.qkv(self.norm1(x)).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(0))
        x = x + self.proj(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.fall(F.gelu(self.rise(self.norm2(x))))


class PlainDenoiser(nn.Module):
    """The MLP that says what noise is in a token, and where the variance lies."""

    def __init__(self, weights: dict[str, Tensor], depth: int) -> None:
        super().__init__()
        self.time = nn.Sequential(linear(weights, "time.0"), nn.SiLU(), linear(weights, "time.2"))
        self.condition, self.rise = linear(weights, "condition"), linear(weights, "rise")
        self.norms = nn.ModuleList(norm(weights, f"blocks.{i}.norm") for i in range(depth))
        self.inner = nn.ModuleList(
            nn.Sequential(linear(weights, f"blocks.{i}.rise"), nn.SiLU(), linear(weights, f"blocks.{i}.fall"))
            for i in range(depth)
        )
        self.modulations = nn.ModuleList(
            nn.Sequential(nn.SiLU(), linear(weights, f"modulation.maps.{i}")) for i in range(depth)
        )
        self.end = nn.Sequential(nn.SiLU(), linear(weights, "end.map"))
        self.out = linear(weights, "out")

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """(n, C) at levels (n,) under conditions (n, D) to (n, 2 C)."""
        frequencies = torch.exp(-math.log(10000) * torch.arange(WAVES // 2) / (WAVES // 2))
        angles = t[:, None].float() * frequencies[None]
        vector = self.time(torch.cat([angles.cos(), angles.sin()], -1)) + self.condition(z)
        h = self.rise(x)
        for own, inner, modulation in zip(self.norms, self.inner, self.modulations, strict=True):
            shift, scale, gate = modulation(vector).chunk(3, dim=-1)
            h = h + gate * inner(own(h) * (1 + scale) + shift)
        shift, scale = self.end(vector).chunk(2, dim=-1)
        return self.out(F.layer_norm(h, h.shape[-1:], eps=EPS) * (1 + scale) + shift)


class PlainMar(nn.Module):
    """Encoder, decoder and head."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        system, spec = network.system, network.system.backbone
        if not (
            isinstance(spec, MaskedAutoencoder)
            and isinstance(spec.mixer, BiasedAttention)
            and isinstance(system.condition, Label)
            and isinstance(system.head, Diffusion)
        ):
            raise UsageError(f"{system}: the plain contestant is a class-conditional MAR")
        assert isinstance(system.order, Random)
        weights, heads = network.state_dict(), spec.mixer.heads
        self.classes, self.prefix, self.sites = system.condition.classes, spec.prefix, network.layout.sites
        self.steps = system.order.steps
        self.class_table = nn.Embedding.from_pretrained(weights["condition.embed.weight"])
        self.embed, self.mask_vector = linear(weights, "wiring.embed"), weights["wiring.mask"]
        own = below(weights, "backbone.")
        self.positions = [own[f"{name}_positions"] for name in ("encoder", "decoder", "site")]
        self.input_norm, self.encoder_norm, self.decoder_norm = (
            norm(own, f"{name}_norm") for name in ("input", "encoder", "decoder")
        )
        self.encoder, self.decoder = (
            nn.ModuleList(PlainBlock(below(own, f"{name}.{i}."), heads) for i in range(spec.depth))
            for name in ("encoder", "decoder")
        )
        self.between = linear(own, "between")
        self.net = PlainDenoiser(below(weights, "head.net."), system.head.depth)
        self.visited = np.array(system.head.spacing.visited(system.head.levels))
        self.levels = system.head.levels

    def hidden(self, tokens: Tensor, mask: Tensor, classes: Tensor) -> Tensor:
        """(B, N, D) of tokens (B, N, C) of which `mask` (B, N) bool are unknown, under class vectors (B, D)."""
        batch = len(tokens)
        known = ~torch.cat([mask.new_zeros(batch, self.prefix), mask], dim=1)
        x = torch.cat([classes[:, None].expand(-1, self.prefix, -1), self.embed(tokens)], dim=1)
        x = self.input_norm(x + self.positions[0])
        x = x[known.nonzero(as_tuple=True)].reshape(batch, -1, x.shape[-1])
        for block in self.encoder:
            x = block(x)
        x = self.between(self.encoder_norm(x))
        full = self.mask_vector.repeat(batch, known.shape[1], 1)
        full[known.nonzero(as_tuple=True)] = x.reshape(-1, x.shape[-1])
        x = full + self.positions[1]
        for block in self.decoder:
            x = block(x)
        return self.decoder_norm(x)[:, self.prefix :] + self.positions[2]

    def denoised(self, z: Tensor, noise: Tensor, scale: float) -> Tensor:
        """Tokens (n, C) of conditions (2 n, D), both halves of guidance, and normal numbers (n, S, C)."""
        kept = np.cumprod(1 - betas(self.levels))[self.visited]
        before = np.append(1.0, kept[:-1])
        beta = 1 - kept / before
        posterior = beta * (1 - before) / (1 - kept)
        low, high = np.log(np.append(posterior[1], posterior[1:])), np.log(beta)
        x = torch.cat([noise[:, 0]] * 2)
        for done, i in enumerate(reversed(range(len(kept)))):
            half = x[: len(x) // 2]
            levels = torch.full((len(x),), int(self.visited[i]))
            said, share = self.net(torch.cat([half, half]), levels, z).chunk(2, dim=-1)
            conditional, unconditional = said.chunk(2)
            guided = unconditional + scale * (conditional - unconditional)
            eps = torch.cat([guided, guided])
            origin = math.sqrt(1 / kept[i]) * x - math.sqrt(1 / kept[i] - 1) * eps
            x = (
                beta[i] * math.sqrt(before[i]) / (1 - kept[i]) * origin
                + (1 - before[i]) * math.sqrt(1 - beta[i]) / (1 - kept[i]) * x
            )
            if i:
                part = (share + 1) / 2
                log = part * high[i] + (1 - part) * low[i]
                x = x + (0.5 * log).exp() * torch.cat([noise[:, done + 1]] * 2)
        return x.chunk(2)[0]

    @torch.no_grad()
    def generate(self, labels: Tensor, scale: float, order: Tensor, noise: Tensor, steps: int | None = None) -> Tensor:
        """Tokens (B, N, C): sites come as `order` (B, N) says, with normal numbers `noise` (B, N, S, C) by place in it.

        Guidance grows to `scale`; after so many `steps` zeros stay.
        """
        batch, sites = len(labels), self.sites
        orders, by_site = order.flip(1), torch.empty_like(noise)
        by_site[torch.arange(batch)[:, None], order] = noise
        mask, tokens = torch.ones(batch, sites, dtype=torch.bool), torch.zeros(batch, sites, noise.shape[-1])
        for step in range(self.steps)[:steps]:
            null = torch.full_like(labels, self.classes)
            classes = self.class_table(torch.cat([labels, null]))
            z = self.hidden(torch.cat([tokens, tokens]), torch.cat([mask, mask]), classes)
            left = int(np.floor(sites * np.cos(math.pi / 2 * (step + 1) / self.steps)))
            left = max(1, min(int(mask[0].sum()) - 1, left))
            following = torch.zeros_like(mask).scatter(1, orders[:, :left], True)
            chosen = mask if step == self.steps - 1 else mask ^ following
            mask = following
            z = z[torch.cat([chosen, chosen]).nonzero(as_tuple=True)]
            grown = 1 + (scale - 1) * (sites - left) / sites
            new = tokens.clone()
            new[chosen.nonzero(as_tuple=True)] = self.denoised(z, by_site[chosen.nonzero(as_tuple=True)], grown)
            tokens = new
        return tokens


def betas(levels: int) -> np.ndarray:
    """Of the cosine schedule, (T,)."""
    signal = [math.cos((t / levels + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(levels + 1)]
    return np.array([min(1 - after / first, 0.999) for first, after in zip(signal, signal[1:], strict=False)])
