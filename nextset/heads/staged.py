"""Codes read one after the other on the way through a backbone, each by its own matrix (DnD-Transformer, arXiv 2410.01912).

The hidden vector of a site is the readouts of all its codes, (h_1 .. h_Q), where h_d already knows the codes before d:
p(k_d | k_<d, before) = softmax(W_d h_d). Legend: B batch, n sites asked for, Q codes a site, D width of a readout, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Codec, Discrete, Unit
from ..nn.precision import at_least_float32
from ..noise import Noise
from .base import Ask, Head, HeadModule, Picker


class StagedModule(HeadModule):
    """One output matrix a code."""

    def __init__(self, dim: int, unit: Discrete, std: float) -> None:
        super().__init__()
        self.single = unit.codes == 1
        self.projects = nn.ModuleList(nn.Linear(dim // unit.codes, unit.vocab, bias=False) for _ in range(unit.codes))
        for project in self.projects:
            assert isinstance(project, nn.Linear)
            nn.init.normal_(project.weight, std=std)

    def draw(self, noise: Noise, sites: int) -> Tensor:
        """One uniform number a code, (B, sites, Q)."""
        return noise.uniform(sites, len(self.projects))

    def logits(self, code: int, readout: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """Of one code (B, n, V) in at least float32, of its readout (B, n, D)."""
        if unguided is None:
            return at_least_float32(self.projects[code](readout))
        conditional, other = self.logits(code, torch.cat([readout, unguided])).chunk(2)
        return other.lerp(conditional, scale)

    def loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Cross entropy in nats, summed over the codes, (B, n)."""
        return -self.log_prob(hidden, target)

    def log_prob(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """(B, n), each code guided given those before it."""
        return self.log_probs(hidden, target, unguided, scale).sum(-1)

    def log_probs(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """ln p of every code given those before it, (B, n, Q)."""
        target = target[..., None] if self.single else target
        halves = self._each(hidden, unguided)
        logits = torch.stack([self.logits(code, *half, scale) for code, half in enumerate(halves)], -2)
        return -F.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none").view(target.shape)

    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Ids (B, n, Q) of readouts that are all there, each code by itself."""
        halves = self._each(hidden, unguided)
        return self._token([pick(self.logits(d, *half, scale), drawn[..., d]) for d, half in enumerate(halves)])

    def answer(self, ask: Ask, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Every code but the last is drawn where the backbone reads it, the last from what it gives in the end."""
        ids: list[Tensor] = []

        def read(code: int, readout: Tensor, unguided: Tensor | None) -> Tensor:
            ids.append(pick(self.logits(code, readout, unguided, scale), drawn[..., code]))
            return ids[-1]

        *_, last = self._each(*ask(read=read))
        ids.append(pick(self.logits(len(ids), *last, scale), drawn[..., len(ids)]))
        return self._token(ids)

    def _each(self, hidden: Tensor, unguided: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        """The readouts of every code, with the unguided ones where there are any."""
        codes = len(self.projects)
        others = [None] * codes if unguided is None else unguided.chunk(codes, -1)
        return list(zip(hidden.chunk(codes, -1), others, strict=True))

    def _token(self, ids: list[Tensor]) -> Tensor:
        return ids[0] if self.single else torch.stack(ids, -1)


@dataclass(frozen=True)
class Staged(Head):
    """For backbones with one readout a code. `std` is that of the initial output matrices; 0 starts from the uniform distribution."""

    std: float = 0.0

    def readouts(self, unit: Unit) -> int:
        """One a code."""
        return unit.codes if isinstance(unit, Discrete) else 1

    def build(self, dim: int, unit: Unit, codec: Codec) -> StagedModule:
        """The output matrices."""
        if not isinstance(unit, Discrete) or dim % unit.codes:
            raise UsageError(f"head Staged needs a readout for each id of a site, but this tokenizer gives {unit}")
        return StagedModule(dim, unit, self.std)
