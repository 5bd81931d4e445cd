"""The other contestant: LlamaGen as one writes it in plain torch for one paper, with the weights of one of our networks.

Eager modules in float32, separate gate and value matrices, a normalisation spelled out, rotary pairs stacked, a cache of the full
length with one row of a boolean mask a step, both halves of guidance in one doubled batch, AdamW and an average in a loop.

Legend: B batch, L slots, T slots of the cache, H heads, d head width, D width, N tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nextset.backbones import Llama
from nextset.conditions import Label
from nextset.errors import UsageError
from nextset.mixers import Attention
from nextset.system import Network, System
from nextset.train import Recipe


def sharing(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear layer on these very tensors (out, in) and (out,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach())
    return layer


def linear(weights: dict[str, Tensor], name: str) -> nn.Linear:
    """The linear layer called `name`, on the weights themselves."""
    return sharing(weights[f"{name}.weight"], weights.get(f"{name}.bias"))


class PlainNorm(nn.Module):
    """x / rms(x) * weight."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).type_as(x) * self.weight


class PlainAttention(nn.Module):
    """Attention with a cache that lives in the layer."""

    def __init__(self, weights: dict[str, Tensor], heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.wqkv, self.wo = sharing(weights["mixer.qkv.weight"]), sharing(weights["mixer.out.weight"])
        self.cache: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, turns: Tensor, place: Tensor | None, mask: Tensor | None) -> Tensor:
        """(B, L, D) to (B, L, D); `turns` (L, d / 2, 2); without `place` (L,) in the cache the whole sequence at once."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in self.wqkv(x).chunk(3, dim=-1))
        q, k, v = (part.transpose(1, 2) for part in (turned(q, turns), turned(k, turns), v))
        if place is not None and self.cache is not None:
            self.cache[0][:, :, place], self.cache[1][:, :, place] = k, v
            k, v = self.cache
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.dropout(self.wo(mixed.transpose(1, 2).flatten(2)))


def turned(x: Tensor, turns: Tensor) -> Tensor:
    """Rotates the pairs of `x` (B, L, H, d)."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = turns[None, :, None].unbind(-1)
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(3).type_as(x)


class PlainBlock(nn.Module):
    """Attention, then SwiGLU."""

    def __init__(self, weights: dict[str, Tensor], spec: Llama, heads: int) -> None:
        super().__init__()
        self.attention_norm = PlainNorm(weights["mixer_norm.weight"], spec.eps)
        self.attention = PlainAttention(weights, heads, spec.dropout)
        self.feedforward_norm = PlainNorm(weights["feedforward_norm.weight"], spec.eps)
        self.w1, self.w3 = map(sharing, weights["feedforward.rise.weight"].chunk(2))
        self.w2 = sharing(weights["feedforward.fall.weight"])
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x: Tensor, turns: Tensor, place: Tensor | None, mask: Tensor | None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        x = x + self.attention(self.attention_norm(x), turns, place, mask)
        h = self.feedforward_norm(x)
        return x + self.dropout(self.w2(F.silu(self.w1(h)) * self.w3(h)))


class PlainLlama(nn.Module):
    """Class slot, tokens in raster order, logits. It shares memory with the network; `copy.deepcopy` parts them."""

    turns: Tensor

    def __init__(self, network: Network, checkpointing: bool = False) -> None:
        super().__init__()
        spec, mixer, label = parts(network.system)
        height, width = network.layout.shape
        weights = network.state_dict()
        self.classes, self.label_dropout = label.classes, label.dropout
        self.checkpointing, self.sites = checkpointing, network.layout.sites
        self.heads, self.head_dim = mixer.heads, spec.dim // mixer.heads
        self.classes_table = nn.Embedding.from_pretrained(weights["condition.embed.weight"], freeze=False)
        self.table = nn.Embedding.from_pretrained(weights["wiring.embed.weight"], freeze=False)
        self.dropout = nn.Dropout(spec.dropout)
        self.blocks = nn.ModuleList(
            PlainBlock(below(weights, f"backbone.blocks.{index}."), spec, mixer.heads) for index in range(spec.depth)
        )
        self.norm = PlainNorm(weights["backbone.norm.weight"], spec.eps)
        self.output = sharing(weights["head.project.weight"])
        self.register_buffer("turns", rotations(height, width, self.head_dim, spec.rotary_base))

    def forward(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, N, V) of all tokens (B, N) given those before and the labels (B,)."""
        if self.training:
            labels = torch.where(torch.rand(len(labels)) < self.label_dropout, self.classes, labels)
        return self.run(torch.cat([self.classes_table(labels)[:, None], self.table(tokens[:, :-1])], 1), None, None)

    def run(self, x: Tensor, place: Tensor | None, mask: Tensor | None) -> Tensor:
        """Logits of slots with contents `x` (B, L, D)."""
        x, turns = self.dropout(x), self.turns[: x.shape[1]] if place is None else self.turns[place]
        for block in self.blocks:
            if self.checkpointing and self.training:
                x = checkpoint(block, x, turns, place, mask, use_reentrant=False)
            else:
                x = block(x, turns, place, mask)
        return self.output(self.norm(x)).float()

    def loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy in nats."""
        return F.cross_entropy(self(tokens, labels).flatten(0, 1), tokens.flatten())

    @torch.no_grad()
    def generate(self, labels: Tensor, scale: float, steps: int | None = None) -> Tensor:
        """The likeliest tokens (B, N) one after the other, guided by u + scale (c - u); after so many `steps` zeros."""
        self.eval()
        shape = (2 * len(labels), self.heads, self.sites, self.head_dim)
        for layer in self.modules():
            if isinstance(layer, PlainAttention):
                layer.cache = torch.zeros(shape), torch.zeros(shape)
        mask = torch.tril(torch.ones(self.sites, self.sites, dtype=torch.bool))
        x = self.classes_table(torch.cat([labels, torch.full_like(labels, self.classes)]))[:, None]
        drawn: list[Tensor] = []
        for place in torch.arange(self.sites)[:steps, None]:
            conditional, unconditional = self.run(x, place, mask[place])[:, -1].chunk(2)
            guided = unconditional + (conditional - unconditional) * scale
            drawn.append(guided.argmax(-1, keepdim=True))
            x = self.table(torch.cat([drawn[-1], drawn[-1]]))
        return F.pad(torch.cat(drawn, 1), (0, self.sites - len(drawn)))


def below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def parts(system: System) -> tuple[Llama, Attention, Label]:
    """Backbone, mixer and condition. Raises UsageError for a system that is no class-conditional LlamaGen."""
    spec, condition = system.backbone, system.condition
    if not (isinstance(spec, Llama) and isinstance(spec.mixer, Attention) and isinstance(condition, Label)):
        raise UsageError(f"{system}: the plain contestant is a class-conditional Llama with attention")
    return spec, spec.mixer, condition


def rotations(height: int, width: int, head_dim: int, base: float) -> Tensor:
    """Cosines and sines (1 + height width, head_dim / 2, 2), rows first, then columns; zeros for the class slot."""
    speeds = base ** (-torch.arange(0, head_dim // 2, 2) / (head_dim // 2))
    down, right = (torch.outer(torch.arange(float(side)), speeds) for side in (height, width))
    angles = torch.cat([down[:, None].expand(-1, width, -1), right[None].expand(height, -1, -1)], -1).flatten(0, 1)
    return F.pad(torch.stack([angles.cos(), angles.sin()], -1), (0, 0, 0, 0, 1, 0))


class PlainTraining:
    """A loop of forward, backward, clipping, AdamW and an average of the weights."""

    def __init__(self, model: PlainLlama, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.average = [p.detach().clone() for p in model.parameters()]
        groups = [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": recipe.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2))

    def step(self, tokens: Tensor, labels: Tensor) -> float:
        """One step on a batch; its loss."""
        self.model.train()
        self.optimizer.zero_grad()
        loss = self.model.loss(tokens, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        with torch.no_grad():
            for shadow, parameter in zip(self.average, self.model.parameters(), strict=True):
                shadow.mul_(self.recipe.ema).add_(parameter, alpha=1 - self.recipe.ema)
        return loss.item()

    def rehearse(self, batches: Callable[[], Iterable[tuple[Tensor, Tensor]]], steps: int) -> float:
        """Seconds of a step, over `steps` after a first one, on (tokens, labels) from `batches()`."""
        start = 0.0
        for index, (tokens, labels) in enumerate(batches()):
            start = time.perf_counter() if index == 1 else start
            self.step(tokens, labels)
            if index == steps:
                break
        return (time.perf_counter() - start) / steps
