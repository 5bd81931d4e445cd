"""The loop of orders that choose while they decode: every step computes the whole picture and keeps some of what it draws.

Legend: B samples, N sites, W width of hidden vectors. As in `loop`, both halves of guidance run in one pass, the second where the
step is guided (nothing is kept in a cache, so it may pause), and all numbers were drawn beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..conditions.base import Conditioning
from ..heads.base import HeadModule, Picker
from ..layout import Tokens
from ..orders.base import Chooser
from .loop import Clamp, Decoding


class Revealing(Protocol):
    """What unmasking needs of a network."""

    head: HeadModule

    def revealed(self, tokens: Tensor, known: Tensor, conditioning: Conditioning) -> Tensor:
        """Hidden vectors (B, N, W) by site, where each sample knows its own sites, (B, N) bool."""


@dataclass(frozen=True)
class Cooled:
    """A pick from logits that are divided by `by` first; 0: the most likely."""

    pick: Picker
    by: float

    @property
    def temperature(self) -> float:
        """Of both together."""
        return self.pick.temperature * self.by

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Ids (...) from logits (..., V)."""
        if self.by == 0:
            return logits.argmax(-1)
        return self.pick(logits if self.by == 1 else logits / self.by, uniform)


@torch.inference_mode()
def unmask(
    network: Revealing,
    chooser: Chooser,
    start: Tokens,
    conditions: tuple[Conditioning, Conditioning | None],
    scales: tuple[float, ...],
    pick: Picker,
    drawn: Tensor,
    clamp: Clamp | None = None,
) -> Iterator[Decoding]:
    """Fills `start` (overwritten) as `chooser` decides and yields after every step.

    `conditions` are the conditional and, where some step is guided, the null ones; `scales` those of all steps of the chooser's
    order; `drawn` (B, drafts, N, ...) the head's random numbers by site. What `clamp` gives is known from the start.
    """
    tokens, head = start.data, network.head
    known = clamp.known.clone() if clamp else torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    if clamp:
        tokens.copy_(_where(known, clamp.tokens, tokens))
    free = (~known).sum(1, keepdim=True)
    halves = _Halves(network, conditions, [scales[step] != 1.0 for step in chooser.active])
    for done, step in enumerate(chooser.active):
        hidden, unguided = halves.hidden(done, tokens, known)
        temperature, divisor = chooser.softened(step)
        scale = scales[step] if unguided is not None else 1.0
        numbers = drawn[:, min(step, chooser.drafts - 1)]
        cooled, sure = Cooled(pick, temperature * divisor), None
        if chooser.confident:
            new, sure = head.rated(hidden, unguided, scale, numbers, cooled)
            sure = sure / divisor
        else:
            new = head.sample(hidden, unguided, scale, numbers, cooled)
        after = chooser.known_after(step, known, free, sure)
        tokens.copy_(_where(after & ~known, new, tokens))
        known = after
        yield Decoding(start, known, done + 1, len(chooser.active))


class _Halves:
    """Hidden vectors, conditional and unguided, of one pass."""

    def __init__(
        self, network: Revealing, conditions: tuple[Conditioning, Conditioning | None], guided: list[bool]
    ) -> None:
        self.network, self.guided = network, guided
        self.conditional, null = conditions
        self.both = self.conditional.join(null) if null is not None and any(guided) else None

    def hidden(self, done: int, tokens: Tensor, known: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, N, W) each, the second where this step is guided."""
        if self.both is None or not self.guided[done]:
            return self.network.revealed(tokens, known, self.conditional), None
        hidden = self.network.revealed(torch.cat([tokens, tokens]), torch.cat([known, known]), self.both)
        first, second = hidden.chunk(2)
        return first, second


def _where(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(chosen if new.ndim == 2 else chosen[..., None], new, old)
