"""ARPG as its repository draws: what the last step has drawn enters the memory, mask tokens turned to their sites read it; every cache
grows by `torch.cat`. The repository draws one order for a whole batch, here each sample has its own, as ours.

Legend: B batch, L slots with a token, Q queries, H heads, d head width, D width, N sites.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextset.backbones import TwoPass
from nextset.conditions import Label
from nextset.errors import UsageError
from nextset.mixers import Attention
from nextset.system import Network

from .llamagen import PlainNorm, below, linear, rotations, sharing


def turned(x: Tensor, turns: Tensor) -> Tensor:
    """Rotates the pairs of `x` (B, L, H, d) by `turns` (B or 1, L, d / 2, 2)."""
    even, odd = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    cos, sin = turns[:, :, None].unbind(-1)
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(3).type_as(x)


class PlainAttention(nn.Module):
    """Attention among what is known, with three maps and no mask."""

    def __init__(self, weights: dict[str, Tensor], heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = map(sharing, weights["mixer.qkv.weight"].chunk(3))
        self.proj = linear(weights, "mixer.out")
        self.cached: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)) for part in (self.to_q, self.to_k, self.to_v))
        q, k, v = (part.transpose(1, 2) for part in (turned(q, turns), turned(k, turns), v))
        if self.cached is not None:
            k, v = torch.cat([self.cached[0], k], dim=-2), torch.cat([self.cached[1], v], dim=-2)
        self.cached = k, v
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class PlainFeedForward(nn.Module):
    """SwiGLU of three maps under a norm."""

    def __init__(self, weights: dict[str, Tensor], eps: float) -> None:
        super().__init__()
        self.norm = PlainNorm(weights["feedforward_norm.weight"], eps)
        self.w1, self.w3 = map(sharing, weights["feedforward.rise.weight"].chunk(2))
        self.w2 = linear(weights, "feedforward.fall")

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        h = self.norm(x)
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))


class PlainSelf(nn.Module):
    """A layer of the first half."""

    def __init__(self, weights: dict[str, Tensor], heads: int, eps: float) -> None:
        super().__init__()
        self.norm = PlainNorm(weights["mixer_norm.weight"], eps)
        self.attention, self.feedforward = PlainAttention(weights, heads), PlainFeedForward(weights, eps)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        return self.feedforward(x + self.attention(self.norm(x), turns))


class PlainCross(nn.Module):
    """A layer of the second half: queries read the memory."""

    def __init__(self, weights: dict[str, Tensor], heads: int, eps: float) -> None:
        super().__init__()
        self.heads, self.norm = heads, PlainNorm(weights["query_norm.weight"], eps)
        self.to_q, self.proj = linear(weights, "query"), linear(weights, "out")
        self.feedforward = PlainFeedForward(weights, eps)

    def forward(self, x: Tensor, k: Tensor, v: Tensor, turns: Tensor) -> Tensor:
        """(B, Q, D) to (B, Q, D), given keys and values (B, T, H, d)."""
        q = turned(self.to_q(self.norm(x)).unflatten(-1, (self.heads, -1)), turns)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.feedforward(x + self.proj(mixed.transpose(1, 2).flatten(2)))


class PlainArpg(nn.Module):
    """Both halves, one table of tokens, the mask, classes and no class."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        system, spec = network.system, network.system.backbone
        if not (
            isinstance(spec, TwoPass) and isinstance(spec.mixer, Attention) and isinstance(system.condition, Label)
        ):
            raise UsageError(f"{system}: the plain contestant is a class-conditional ARPG")
        weights, heads, eps = network.state_dict(), spec.heads, spec.eps
        tokens, classes = weights["wiring.embed.weight"], weights["condition.embed.weight"]
        self.table = nn.Embedding.from_pretrained(torch.cat([tokens, weights["wiring.ask"], classes]))
        self.mask_id, self.classes, self.heads = len(tokens), system.condition.classes, heads
        self.sizes, self.sites = system.order.sizes(network.layout), network.layout.sites
        own, half = below(weights, "backbone."), spec.depth // 2
        self.layers = nn.ModuleList(PlainSelf(below(own, f"blocks.{i}."), heads, eps) for i in range(half))
        self.readers = nn.ModuleList(PlainCross(below(own, f"readers.{i}."), heads, eps) for i in range(half))
        self.memory_norm, self.norm = (PlainNorm(own[f"{name}.weight"], eps) for name in ("memory_norm", "norm"))
        self.to_k, self.to_v = map(sharing, own["keys_values.weight"].chunk(2))
        self.output = linear(weights, "head.project")
        height, width = network.layout.shape
        self.turns = rotations(height, width, spec.dim // heads, spec.rotary_base)
        self.cached: tuple[Tensor, Tensor] | None = None

    def logits(self, ids: Tensor, turns: Tensor, asked: Tensor) -> Tensor:
        """(B, Q, V) of sites turned by `asked` (B, Q, d / 2, 2), after ids (B, L) turned by `turns` have entered the memory."""
        x, queries = self.table(ids), self.table(torch.full((len(ids), asked.shape[1]), self.mask_id))
        for layer in self.layers:
            x = layer(x, turns)
        x = self.memory_norm(x)
        k, v = (part(x).unflatten(-1, (self.heads, -1)) for part in (self.to_k, self.to_v))
        k = turned(k, turns)
        if self.cached is not None:
            k, v = torch.cat([self.cached[0], k], dim=1), torch.cat([self.cached[1], v], dim=1)
        self.cached = k, v
        for reader in self.readers:
            queries = reader(queries, k, v, asked)
        return self.output(self.norm(queries)).float()

    @torch.no_grad()
    def generate(self, labels: Tensor, scale: float, order: Tensor, steps: int | None = None) -> Tensor:
        """The likeliest tokens (B, N) at the sites that `order` (B, N) lists, under guidance that grows to `scale`; others zeros."""
        self.cached = None
        for layer in self.layers:
            assert isinstance(layer, PlainSelf)
            layer.attention.cached = None
        null = torch.full_like(labels, self.classes)
        ids = torch.cat([labels, null])[:, None] + self.mask_id + 1
        rows, done = torch.zeros(len(labels), 1, dtype=torch.int64), 0
        tokens = torch.zeros(len(labels), self.sites, dtype=torch.int64)
        for size in self.sizes[:steps]:
            sites = order[:, done : done + size]
            done += size
            following = sites + 1  # the first row is that of the class
            turns, asked = (torch.cat([self.turns[index]] * 2) for index in (rows, following))
            conditional, unconditional = self.logits(ids, turns, asked).chunk(2)
            grown = 1 + (scale - 1) * done / self.sites
            drawn = (unconditional + (conditional - unconditional) * grown).argmax(-1)
            tokens.scatter_(1, sites, drawn)
            ids, rows = torch.cat([drawn, drawn]), following
        return tokens
