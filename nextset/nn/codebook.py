"""A codebook: the nearest of V vectors, with a straight-through gradient (VQ-VAE, van den Oord et al. 2017, arXiv 1711.00937).

loss = mean|z_q - sg(z)|^2 + beta mean|sg(z_q) - z|^2. With `normalise`, codes and latents are compared on the unit sphere
(ViT-VQGAN, arXiv 2110.04627; LlamaGen). Legend: V vocabulary, D width of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..noise import mix
from .precision import at_least_float32, full_precision

WINDOW = 100  # hits of a fairly used code that the running average looks back over, whatever batch and vocabulary
ALIVE = 0.01  # a code that gets less than this part of its fair share of hits counts as unused
LARGEST_TABLE = 1 << 26  # similarities held at a time: 256 MB in float32


@dataclass(frozen=True)
class Quantised:
    """Code vectors (..., D) that pass the gradient straight to the latents, ids (...) int64, and the codebook loss, a scalar."""

    vectors: Tensor
    ids: Tensor
    loss: Tensor


class Codebook(nn.Module):
    """V codes of width D and how often each was used.

    `hits` is a running average of hits, of which each code's part matters (it starts at zero); `batches` counts the training
    batches behind it. Across processes one all-reduce of V numbers a training batch and two broadcasts a `revive` keep codes
    and statistics equal.
    """

    hits: Tensor
    batches: Tensor

    def __init__(self, vocab: int, dim: int, beta: float = 0.25, normalise: bool = True) -> None:
        super().__init__()
        if vocab < 2 or dim < 1:
            raise UsageError(
                f"a codebook needs vocab of at least 2 and dim of at least 1, got vocab={vocab}, dim={dim}"
            )
        self.vocab, self.dim, self.beta, self.normalise = vocab, dim, beta, normalise
        weight = torch.empty(vocab, dim).uniform_(-1 / vocab, 1 / vocab)
        self.weight = nn.Parameter(F.normalize(weight, dim=-1) if normalise else weight)
        self.register_buffer("hits", torch.zeros(vocab))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, latents: Tensor) -> Quantised:
        """Quantises latents (..., D); in training mode their codes are counted."""
        with full_precision(latents.device):
            z = self.placed(latents)
            ids = _closest(z, self.placed(self.weight))
            codes = self.embed(ids)
            loss = F.mse_loss(codes, z.detach()) + self.beta * F.mse_loss(z, codes.detach())
            vectors = z + (codes - z).detach()
        if self.training:
            self.count(ids)
        return Quantised(vectors, ids, loss)

    def placed(self, latents: Tensor) -> Tensor:
        """Latents (..., D) where codes are: in at least float32, on the unit sphere where codes are."""
        wide = at_least_float32(latents)
        return F.normalize(wide, dim=-1) if self.normalise else wide

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (...), (..., D) in at least float32."""
        return self.placed(F.embedding(ids, self.weight))

    @torch.no_grad()
    def nearest(self, latents: Tensor) -> Tensor:
        """Ids (...) of the nearest codes to latents (..., D): the largest z.e - |e|^2 / 2."""
        with full_precision(latents.device):
            return _closest(self.placed(latents), self.placed(self.weight))

    @torch.no_grad()
    def aligned(self, latents: Tensor) -> Tensor:
        """Ids (...) of the codes of the smallest angle to latents (..., D), whatever their lengths."""
        with full_precision(latents.device):
            codes = F.normalize(at_least_float32(self.weight), dim=-1)
            return _closest(F.normalize(at_least_float32(latents), dim=-1), codes)

    # -- statistics

    @torch.no_grad()
    def count(self, ids: Tensor) -> None:
        """Adds a batch of ids, of every process, to the running average."""
        counts = torch.zeros_like(self.hits, dtype=torch.float32)
        counts.index_add_(0, ids.flatten(), torch.ones((), device=ids.device).expand(ids.numel()))
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
        total = counts.sum().clamp_min(1)
        rate = (total / (WINDOW * self.vocab)).clamp_max(1)
        self.hits.lerp_((counts * (self.vocab / total)).to(self.hits.dtype), rate.to(self.hits.dtype))
        self.batches += 1

    @property
    def shares(self) -> Tensor:
        """Hits of each code lately, (V,), where 1 is a fair share."""
        return self.hits / self.hits.mean().clamp_min(1e-12)

    def usage(self) -> Tensor:
        """The part of the codes that are in use, a scalar in [0, 1]."""
        return (self.shares >= ALIVE).float().mean()

    def perplexity(self) -> Tensor:
        """exp of the entropy of the codes, a scalar in [1, V]; V when all are used alike."""
        p = self.shares.float() / self.vocab
        return torch.special.entr(p).sum().exp()

    # -- revival

    @torch.no_grad()
    def revive(self, latents: Tensor) -> int:
        """Moves unused codes onto random ones of `latents` (..., D) of the first process; how many moved.

        A moved code starts again with a fair share of hits. What is drawn depends only on `batches`, so a resumed run
        repeats it. Every process must call it after the same batch.
        """
        dead = self.shares < ALIVE
        moved = int(dead.sum()) if self.batches > 0 else 0
        if moved:
            pool = self.placed(latents).flatten(0, -2)
            generator = torch.Generator().manual_seed(mix("revive", int(self.batches)))
            chosen = torch.randperm(len(pool), generator=generator)[torch.arange(moved) % len(pool)]
            self.weight[dead] = pool[chosen.to(pool.device)].to(self.weight.dtype)
            self.hits[dead] = self.hits.mean()
        if dist.is_available() and dist.is_initialized():
            dist.broadcast(self.weight.data, 0)
            dist.broadcast(self.hits, 0)
        return moved


@torch.no_grad()
def _closest(latents: Tensor, codes: Tensor) -> Tensor:
    bias = -0.5 * codes.square().sum(-1)
    rows = latents.flatten(0, -2).split(max(1, LARGEST_TABLE // len(codes)))
    ids = [torch.addmm(bias.to(z.dtype), z, codes.to(z.dtype).T).argmax(-1) for z in rows]
    return torch.cat(ids).view(latents.shape[:-1])
