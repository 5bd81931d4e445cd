"""A codebook that follows running means of what falls to each code (VQ-VAE-2, arXiv 1906.00446, appendix A.1), restarted where unused.

    sizes <- decay sizes + (1 - decay) counts,   sums <- decay sums + (1 - decay) sums of vectors,   code = sum / size

A code whose running size falls below 1 starts again on a random vector of the batch (RQ-VAE, arXiv 2203.01941). Nothing of it has a
gradient. Legend: V vocabulary, D width of a code.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from .codebook import LARGEST_TABLE
from .precision import at_least_float32, full_precision

SMOOTHING = 1e-5  # added to every size, so that an empty code divides nothing by zero
SPREAD = (
    0.01  # norm of the noise that tells copies of a vector apart where a batch has fewer vectors than there are codes
)


class MovingCodebook(nn.Module):
    """V codes of width D with their running sizes and sums, all of them buffers.

    Across processes one all-reduce of V (D + 1) numbers a call, and one broadcast of V D numbers, keep them equal.
    """

    weight: Tensor
    sizes: Tensor
    sums: Tensor

    def __init__(self, vocab: int, dim: int, decay: float = 0.99) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise UsageError(f"decay must be in [0, 1), got {decay}")
        self.vocab, self.dim, self.decay = vocab, dim, decay
        self.register_buffer("weight", torch.randn(vocab, dim))
        self.register_buffer("sizes", torch.zeros(vocab))
        self.register_buffer("sums", self.weight.clone())

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (...), (..., D) in at least float32."""
        return at_least_float32(F.embedding(ids, self.weight))

    def distances(self, vectors: Tensor) -> Tensor:
        """Squared distances of vectors (..., D) to every code, (..., V)."""
        z = at_least_float32(vectors)
        codes = self.weight.to(z.dtype)
        return z.square().sum(-1, keepdim=True) - 2 * z @ codes.T + codes.square().sum(-1)

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """Ids (...) of the nearest codes, the first of equals."""
        with full_precision(vectors.device):
            rows = vectors.flatten(0, -2).split(max(1, LARGEST_TABLE // self.vocab))
            return torch.cat([self.distances(z).argmin(-1) for z in rows]).view(vectors.shape[:-1])

    @torch.no_grad()
    def follow(self, vectors: Tensor, ids: Tensor) -> None:
        """One step of the running means, on vectors (..., D) that fell to the codes `ids` (...)."""
        vectors, ids = at_least_float32(vectors).flatten(0, -2), ids.flatten()
        counts, sums = vectors.new_zeros(self.vocab), vectors.new_zeros(self.vocab, self.dim)
        counts.index_add_(0, ids, torch.ones_like(ids, dtype=vectors.dtype))
        sums.index_add_(0, ids, vectors)
        fresh = self._drawn(vectors)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
            dist.all_reduce(sums)
            dist.broadcast(fresh, 0)
        self.sizes.lerp_(counts.to(self.sizes.dtype), 1 - self.decay)
        self.sums.lerp_(sums.to(self.sums.dtype), 1 - self.decay)
        unused = self.sizes < 1
        self.sizes.masked_fill_(unused, 1.0)
        self.sums.copy_(torch.where(unused[:, None], fresh.to(self.sums.dtype), self.sums))
        total = self.sizes.sum()
        smoothed = total * (self.sizes + SMOOTHING) / (total + self.vocab * SMOOTHING)
        self.weight.copy_(self.sums / smoothed[:, None])

    def _drawn(self, vectors: Tensor) -> Tensor:
        """V vectors of the batch in random order; where there are fewer, copies with a little noise. Drawn on the CPU."""
        times = -(-self.vocab // len(vectors))
        chosen = torch.randperm(times * len(vectors))[: self.vocab].to(vectors.device) % len(vectors)
        drawn = vectors[chosen]
        if times > 1:
            noise = torch.rand(drawn.shape).to(drawn)
            drawn = drawn + noise * (SPREAD / self.dim**0.5)
        return drawn
