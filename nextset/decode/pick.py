"""Drawing one id from logits: temperature, then top-k, then top-p, then the inverse of the distribution function.

One uniform number decides a draw, so whoever holds the number can replay it. Ties at the k-th logit are kept, and top-p
keeps the first id that crosses the threshold (the convention of LlamaGen and of most of the field).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..spec import Spec


@dataclass(frozen=True)
class Pick(Spec):
    """Temperature >= 0 (0: the most likely id), `top_k` >= 0 (0: all), `top_p` in (0, 1] (1: all).

    `sizes`, where there are some, are those of the steps (in sites) that draw; steps of other sizes take the most likely ids
    (FlexVAR, arXiv 2502.20313, at sides that it was seldom trained on).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UsageError(f"temperature must be 0 or more, got {self.temperature}")
        if self.top_k < 0:
            raise UsageError(f"top_k must be 0 (all) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be in (0, 1], got {self.top_p}")

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Ids (B, n, ...) from logits (B, n, ..., V) and uniform numbers (B, n, ...)."""
        unseen = bool(self.sizes) and uniform.shape[1] not in self.sizes
        if self.temperature == 0 or self.top_k == 1 or unseen:
            return logits.argmax(-1)
        return invert(self.probabilities(logits), uniform)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The distribution that is drawn from, (..., V)."""
        logits = logits / self.temperature if self.temperature != 1 else logits
        few = 0 < self.top_k < logits.shape[-1]
        if few:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p < 1:
            logits = keep_top_p(logits, self.top_p, self.top_k if few else 0)
        return logits.softmax(-1)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Everything below the k-th largest logit becomes -inf."""
    least = logits.topk(k, sorted=False).values.amin(-1, keepdim=True)
    return logits.masked_fill(logits < least, -torch.inf)


def keep_top_p(logits: Tensor, p: float, k: int = 0) -> Tensor:
    """Everything outside the smallest set of likeliest ids with probability above `p` becomes -inf (Holtzman et al. 2020).

    Where all but the `k` largest, and those that tie with the least of them, are -inf already, only these `k` are sorted.
    """
    ordered, index = logits.topk(k, dim=-1) if k else logits.sort(-1, descending=True)
    shares = (ordered - logits.logsumexp(-1, keepdim=True)).exp()
    before = shares.cumsum(-1).roll(1, -1)
    before[..., 0] = 0
    dropped = before > p
    if not k:
        return logits.masked_fill(torch.zeros_like(dropped).scatter(-1, index, dropped), -torch.inf)
    # what ties with the least of the k comes after it, and stays or goes together
    rest = torch.where(shares.sum(-1, keepdim=True) > p, ordered.new_tensor(-torch.inf), logits)
    return rest.scatter(-1, index, ordered.masked_fill(dropped, -torch.inf))


def invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The id whose stretch of the distribution function holds the uniform number; never one of probability 0."""
    cumulative = probabilities.cumsum(-1)
    point = uniform.to(cumulative.dtype)[..., None] * cumulative[..., -1:]
    ids = torch.searchsorted(cumulative, point, right=True)
    # u * total can round up to total; the last id with any probability is then the one whose stretch ends there
    last = torch.searchsorted(cumulative, cumulative[..., -1:].contiguous())
    return torch.minimum(ids, last)[..., 0]
