"""A small causal transformer over the codes of one site (RQ-Transformer, Lee et al. 2022, arXiv 2203.01941).

    v_1 = pos_1 + h,   v_d = pos_d + A (e(k_1) + .. + e(k_(d-1))) + b,   p(k_d | k_<d, h) = softmax(W norm(blocks(v_1 .. v_d)))

The context of a code is the sum of the vectors before it, not the last one alone. Legend: B batch, n sites asked for, Q codes a
site, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Codec, Discrete, Unit
from ..mixers import Context, Mixer, MixerModule, State
from ..nn.feedforward import MLP
from ..nn.norm import Layer
from ..nn.precision import at_least_float32
from ..noise import Noise
from ..slots import Mask
from .base import Head, HeadModule, Picker


class DepthBlock(nn.Module):
    """x + mixer(norm(x)), then x + feedforward(norm(x))."""

    def __init__(self, spec: DepthTransformer, dim: int) -> None:
        super().__init__()
        norm = Layer(eps=spec.eps)
        self.mixer_norm, self.mixer = norm.build(dim), spec.mixer.build(dim, spec.dropout)
        self.feedforward_norm, self.feedforward = norm.build(dim), MLP().build(dim, spec.dropout)

    def forward(self, x: Tensor, context: Context, state: State | None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        x = x + self.mixer(self.mixer_norm(x), context, state)
        out: Tensor = x + self.feedforward(self.feedforward_norm(x))
        return out


class DepthTransformerModule(HeadModule):
    """Positions, the map of partial sums, blocks, and one classifier for all codes."""

    def __init__(self, spec: DepthTransformer, dim: int, unit: Discrete, codec: Codec) -> None:
        super().__init__()
        self.codes, self.vectors_of = unit.codes, codec.embed
        inputs = codec.embed(torch.zeros(1, unit.codes, dtype=torch.int64)).shape[-1]
        self.position = nn.Parameter(torch.empty(unit.codes, dim).normal_(std=spec.std))
        self.context = nn.Linear(inputs, dim)
        self.blocks = nn.ModuleList(DepthBlock(spec, dim) for _ in range(spec.depth))
        self.norm = Layer(eps=spec.eps).build(dim)
        self.project = nn.Linear(dim, unit.vocab)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=spec.std)
                nn.init.zeros_(module.bias)

    def draw(self, noise: Noise, sites: int) -> Tensor:
        """One uniform number a code, (B, sites, Q)."""
        return noise.uniform(sites, self.codes)

    def logits(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Of every code given those before it, (B, n, Q, V), for target ids (B, n, Q)."""
        known = self._mapped(self.vectors_of(target[..., :-1]).cumsum(-2))
        v = torch.cat([hidden[..., None, :], known], dim=-2) + self.position
        return self._scored(v.flatten(0, 1), Mask(causal=True), None).unflatten(0, hidden.shape[:2])

    def loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Cross entropy in nats, summed over the codes, (B, n)."""
        return -self.log_prob(hidden, target)

    def log_prob(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """(B, n), each code guided given those before it."""
        return self.log_probs(hidden, target, unguided, scale).sum(-1)

    def log_probs(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """ln p of every code given those before it, (B, n, Q)."""
        logits = self.logits(hidden, target)
        if unguided is not None:
            logits = self.logits(unguided, target).lerp(logits, scale)
        return -F.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none").view(target.shape)

    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Ids (B, n, Q), one code after the other; both halves of guidance go on from the same codes."""
        halves = 1 if unguided is None else 2
        both = hidden if unguided is None else torch.cat([hidden, unguided])
        v = both.flatten(0, 1)[:, None]
        states = [m.state(len(v), self.codes, v) for m in self.blocks.modules() if isinstance(m, MixerModule)]
        ids: list[Tensor] = []
        for code in range(self.codes):
            if ids:
                total = self.vectors_of(torch.stack(ids, -1)).sum(-2)
                v = self._mapped(total).flatten(0, 1)[:, None].repeat(halves, 1, 1)
            found = self._scored(v + self.position[code], Mask(), states)[:, 0].unflatten(0, both.shape[:2])
            if unguided is not None:
                conditional, other = found.chunk(2)
                found = other.lerp(conditional, scale)
            ids.append(pick(found, drawn[..., code]))
        return torch.stack(ids, -1)

    def _mapped(self, sums: Tensor) -> Tensor:
        mapped: Tensor = self.context(sums.to(self.context.weight.dtype))
        return mapped

    def _scored(self, v: Tensor, mask: Mask, states: list[State] | None) -> Tensor:
        """Logits (b, L, V) in at least float32 of slots (b, L, D), which `states` remember."""
        context = Context(None, mask, v.shape[1])
        for index, block in enumerate(self.blocks):
            v = block(v, context, states[index] if states else None)
        return at_least_float32(self.project(self.norm(v)))


@dataclass(frozen=True)
class DepthTransformer(Head):
    """`depth` blocks of `mixer` over the codes of a site, as wide as the backbone; needs a tokenizer with code vectors.

    `dropout` as in backbones; `std` is that of the initial weights.
    """

    depth: int
    mixer: Mixer
    dropout: float = 0.1
    eps: float = 1e-5
    std: float = 0.02

    def build(self, dim: int, unit: Unit, codec: Codec) -> DepthTransformerModule:
        """The blocks and the classifier."""
        if not isinstance(unit, Discrete) or unit.codes < 2:
            raise UsageError(f"head DepthTransformer needs several ids a site, but this tokenizer gives {unit}")
        return DepthTransformerModule(self, dim, unit, codec)
