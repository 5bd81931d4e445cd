"""VAR as its repository draws: ten passes over whole maps, keys and values joined to those of the scales before, AdaLN anew each pass.

Legend: B batch, L sites of a scale, T sites so far, H heads, d head width, D width, C width of a code.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextset.backbones import Transformer
from nextset.conditions import Label
from nextset.errors import UsageError
from nextset.mixers import CosineAttention
from nextset.nn.modulation import Each
from nextset.system import Network
from nextset.tokenizers.multiscale import MultiScaleVQModule, phi_of

from .llamagen import below, linear

EPS, SHARPEST = 1e-6, math.log(100)


class PlainAttention(nn.Module):
    """Cosine attention; the cache grows by `torch.cat`."""

    def __init__(self, weights: dict[str, Tensor], heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = linear(weights, "qkv"), linear(weights, "out")
        self.q_bias, self.v_bias, self.sharp = weights["q_bias"], weights["v_bias"], weights["scale"]
        self.cached: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias).view(*x.shape[:2], 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q = F.normalize(q, dim=-1) * self.sharp.clamp_max(SHARPEST).exp()[None, :, None, None]
        k = F.normalize(k, dim=-1)
        if self.cached is not None:
            k, v = torch.cat([self.cached[0], k], dim=2), torch.cat([self.cached[1], v], dim=2)
        self.cached = k, v
        mixed = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        return self.proj(mixed.transpose(1, 2).reshape(x.shape))


class PlainBlock(nn.Module):
    """Attention and feed-forward, each shifted, scaled and gated by a map of the class."""

    def __init__(self, weights: dict[str, Tensor], modulation: nn.Linear, heads: int) -> None:
        super().__init__()
        self.attention = PlainAttention(below(weights, "mixer."), heads)
        self.rise, self.fall = linear(weights, "feedforward.rise"), linear(weights, "feedforward.fall")
        self.modulation = nn.Sequential(nn.SiLU(), modulation)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """(B, L, D) under vectors (B, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(vector)[:, None].chunk(6, dim=-1)
        normed = F.layer_norm(x, x.shape[-1:], eps=EPS)
        x = x + self.attention(normed * (1 + scale1) + shift1) * gate1
        normed = F.layer_norm(x, x.shape[-1:], eps=EPS)
        hidden = F.gelu(self.rise(normed * (1 + scale2) + shift2), approximate="tanh")
        return x + self.fall(hidden) * gate2


class PlainVar(nn.Module):
    """The generator, and of the tokenizer the codes and the convolutions between the scales."""

    def __init__(self, network: Network, tokenizer: nn.Module) -> None:
        super().__init__()
        spec, label = network.system.backbone, network.system.condition
        if not (
            isinstance(spec, Transformer)
            and isinstance(spec.mixer, CosineAttention)
            and isinstance(spec.modulation, Each)
            and isinstance(label, Label)
        ):
            raise UsageError(f"{network.system}: the plain contestant is VAR with a map of AdaLN a block")
        assert isinstance(tokenizer, MultiScaleVQModule)
        weights, heads = network.state_dict(), spec.mixer.heads
        self.classes, self.sides = label.classes, [block[-1] for block in network.layout.blocks]
        self.class_table = nn.Embedding.from_pretrained(weights["condition.embed.weight"])
        self.word, self.start = linear(weights, "wiring.embed"), weights["wiring.start"]
        self.places = weights["wiring.places.sites"]
        self.levels, self.level = weights["wiring.places.levels.weight"], weights["wiring.places.block"]
        self.blocks = nn.ModuleList(
            PlainBlock(below(weights, f"backbone.blocks.{i}."), linear(weights, f"backbone.modulation.maps.{i}"), heads)
            for i in range(spec.depth)
        )
        self.last_modulation = nn.Sequential(nn.SiLU(), linear(weights, "backbone.norm.map"))
        self.output = linear(weights, "head.project")
        self.codes, self.phis, self.blend = tokenizer.codebook.weight, tokenizer.phis, tokenizer.spec.blend

    def logits(self, x: Tensor, vector: Tensor) -> Tensor:
        """(B, L, V) of the slots of a scale (B, L, D)."""
        for block in self.blocks:
            x = block(x, vector)
        shift, scale = self.last_modulation(vector)[:, None].chunk(2, dim=-1)
        return self.output(F.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale) + shift)

    def added(self, ids: Tensor, scale: int) -> Tensor:
        """What the ids (B, L) of a scale add to the sum, (B, C, h, w)."""
        side, full = self.sides[scale], self.sides[-1]
        codes = F.embedding(ids, self.codes).transpose(1, 2).reshape(len(ids), -1, side, side)
        if side != full:
            codes = F.interpolate(codes, size=(full, full), mode="bicubic")
        phi = self.phis[phi_of(scale, len(self.sides), len(self.phis))]
        return codes * (1 - self.blend) + phi(codes) * self.blend

    @torch.no_grad()
    def generate(self, labels: Tensor, scale: float, steps: int | None = None) -> Tensor:
        """The likeliest tokens (B, N), scale by scale, guided by (1 + t) c - t u where t rises to scale - 1; then zeros."""
        for block in self.blocks:
            assert isinstance(block, PlainBlock)
            block.attention.cached = None
        vector = self.class_table(torch.cat([labels, torch.full_like(labels, self.classes)]))
        positions = (self.levels[self.level] + self.places)[None]
        first = self.sides[0] ** 2
        x = vector[:, None].expand(-1, first, -1) + self.start + positions[:, :first]
        total, drawn, done, last = torch.zeros(()), [], 0, len(self.sides) - 1
        for k, side in enumerate(self.sides[:steps]):
            done += side**2
            extra = (scale - 1) * k / max(last, 1)
            conditional, unconditional = self.logits(x, vector).chunk(2)
            ids = ((1 + extra) * conditional - extra * unconditional).argmax(-1)
            drawn.append(ids)
            total = total + self.added(ids, k)
            if k < last:
                following = self.sides[k + 1]
                context = F.interpolate(total, size=(following, following), mode="area").flatten(2).transpose(1, 2)
                x = self.word(context) + positions[:, done : done + following**2]
                x = x.repeat(2, 1, 1)
        return F.pad(torch.cat(drawn, 1), (0, len(self.places) - done))
