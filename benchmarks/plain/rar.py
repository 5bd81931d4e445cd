"""RAR as its repository draws: every step embeds all tokens so far and builds both tables of positions anew, then computes the last slot
alone; keys and values are joined to those before by `torch.cat`.

Legend: B batch, L slots of a call, N sites, D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextset.backbones import Transformer
from nextset.conditions import Label
from nextset.decode import PowerCosine
from nextset.errors import UsageError
from nextset.mixers import BiasedAttention
from nextset.system import Network

from .llamagen import below, linear
from .mar import EPS, norm

PREFIX = 2  # the start slot and the class


class PlainAttention(nn.Module):
    """Attention with normalised queries and keys and a cache that grows."""

    def __init__(self, weights: dict[str, Tensor], heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = linear(weights, "qkv"), linear(weights, "out")
        self.q_norm, self.k_norm = norm(weights, "q_norm"), norm(weights, "k_norm")
        self.cached: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.cached is not None:
            k, v = torch.cat([self.cached[0], k], dim=-2), torch.cat([self.cached[1], v], dim=-2)
        self.cached = k, v
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).reshape(x.shape))


class PlainBlock(nn.Module):
    """Attention and MLP under AdaLN, whose map is computed in every step."""

    def __init__(self, weights: dict[str, Tensor], modulation: nn.Linear, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(weights, "mixer_norm"), norm(weights, "feedforward_norm")
        self.attention = PlainAttention(below(weights, "mixer."), heads)
        self.rise, self.fall = linear(weights, "feedforward.rise"), linear(weights, "feedforward.fall")
        self.modulation = nn.Sequential(nn.SiLU(), modulation)

    def forward(self, x: Tensor, vector: Tensor, mask: Tensor | None) -> Tensor:
        """(B, L, D) under vectors (B, L, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(vector).chunk(6, dim=-1)
        x = x + gate1 * self.attention(self.norm1(x) * (1 + scale1) + shift1, mask)
        hidden = F.gelu(self.rise(self.norm2(x) * (1 + scale2) + shift2))
        return x + gate2 * self.fall(hidden)


class PlainRar(nn.Module):
    """One table of tokens, a mask, classes and no class; tables of places, of targets and of steps."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        system, spec = network.system, network.system.backbone
        if not (
            isinstance(spec, Transformer)
            and isinstance(spec.mixer, BiasedAttention)
            and isinstance(system.condition, Label)
            and isinstance(system.guidance, PowerCosine)
        ):
            raise UsageError(f"{system}: the plain contestant is a class-conditional RAR")
        weights, self.power = network.state_dict(), system.guidance.power
        own = below(weights, "wiring.inner.")
        classes, tokens = weights["condition.embed.weight"], own["embed.weight"]
        table = torch.cat([tokens, torch.zeros_like(tokens[:1]), classes])
        self.table, self.first_class = nn.Embedding.from_pretrained(table), len(tokens) + 1
        self.classes, self.sites = system.condition.classes, network.layout.sites
        self.start, self.places, self.targets = own["start"], own["positions"], own["targets"]
        self.steps = weights["wiring.steps"]
        self.blocks = nn.ModuleList(
            PlainBlock(
                below(weights, f"backbone.blocks.{i}."),
                linear(weights, f"backbone.modulation.maps.{i}"),
                spec.mixer.heads,
            )
            for i in range(spec.depth)
        )
        self.last_modulation = nn.Sequential(nn.SiLU(), linear(weights, "backbone.norm.map"))
        self.output = linear(weights, "head.project")
        self.mask = torch.full((PREFIX, PREFIX), -math.inf).triu(1)

    def logits(self, ids: Tensor, condition: Tensor) -> Tensor:
        """(B, L, V) of the slots not yet computed, given all ids (B, n) so far and rows of classes (B,)."""
        batch = len(ids)
        embedded = self.table(torch.cat([condition[:, None], ids], dim=1))
        vector = embedded[:, 0]
        rows, order = torch.arange(batch)[:, None], torch.arange(self.sites).expand(batch, -1)
        places, targets = self.places.repeat(batch, 1, 1), self.targets.repeat(batch, 1, 1)
        places = torch.cat([places[:, :PREFIX], places[:, PREFIX:][rows, order]], dim=1)
        x = torch.cat([self.start.expand(batch, -1, -1), embedded], dim=1)
        x = x + places[:, : x.shape[1]]
        nothing = torch.zeros_like(x[:, :1])
        x = x + torch.cat([nothing, targets[rows, order], nothing], dim=1)[:, : x.shape[1]]
        vectors = vector[:, None] + self.steps[:, : x.shape[1]]
        mask = None if ids.shape[1] else self.mask
        if ids.shape[1]:
            x, vectors = x[:, -1:], vectors[:, -1:]
        for block in self.blocks:
            x = block(x, vectors, mask)
        shift, scale = self.last_modulation(vectors).chunk(2, dim=-1)
        return self.output(F.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale) + shift)

    @torch.no_grad()
    def generate(self, labels: Tensor, scale: float, steps: int | None = None) -> Tensor:
        """The likeliest tokens (B, N) one after the other, guided by a power of a cosine up to `scale`; then zeros."""
        for block in self.blocks:
            assert isinstance(block, PlainBlock)
            block.attention.cached = None
        ids = torch.zeros(len(labels), 0, dtype=torch.int64)
        condition = torch.cat([labels, torch.full_like(labels, self.classes)]) + self.first_class
        for step in range(self.sites)[:steps]:
            share = (1 - math.cos(math.pi * (step / self.sites) ** self.power)) / 2
            conditional, unconditional = self.logits(torch.cat([ids, ids]), condition).chunk(2)
            guided = unconditional + (conditional - unconditional) * (1 + (scale - 1) * share)
            ids = torch.cat([ids, guided[:, -1].argmax(-1, keepdim=True)], dim=1)
        return F.pad(ids, (0, self.sites - ids.shape[1]))
