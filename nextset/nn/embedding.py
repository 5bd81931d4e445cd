"""How ids become vectors: a learned table, or the tokenizer's own code vectors under a linear map.

Legend: B batch, n sites, V vocabulary, Q codes a site, C width of a code vector, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Codec, Continuous, Unit
from ..spec import Spec


class TableModule(nn.Module):
    """A row an id; several codes of a site are added, each of a table of its own."""

    def __init__(self, dim: int, vocab: int, codes: int, std: float) -> None:
        super().__init__()
        self.vocab = vocab
        self.rows = nn.Embedding(vocab * codes, dim)
        nn.init.normal_(self.rows.weight, std=std)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, n) or (B, n, Q) to (B, n, D)."""
        if ids.ndim == 2:
            return self.rows(ids)
        return self.rows(ids + self.vocab * torch.arange(ids.shape[-1], device=ids.device)).sum(2)


class CodeVectorsModule(nn.Module):
    """The code vectors of a site, one after another, under one linear map; the codebook stays the tokenizer's, and frozen."""

    def __init__(self, dim: int, codes: int, codec: Codec, std: float) -> None:
        super().__init__()
        self.embed = codec.embed
        width = self._vectors(torch.zeros((1, 1) if codes == 1 else (1, 1, codes), dtype=torch.int64)).shape[-1]
        self.map = nn.Linear(width, dim)
        nn.init.normal_(self.map.weight, std=std)
        nn.init.zeros_(self.map.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, n) or (B, n, Q) to (B, n, D)."""
        return self.map(self._vectors(ids).to(self.map.weight.dtype))

    @torch.no_grad()
    def _vectors(self, ids: Tensor) -> Tensor:
        return self.embed(ids).flatten(2)  # (B, n, [Q,] C) with the codes side by side


@dataclass(frozen=True)
class Embedding(Spec, ABC):
    """Describes how ids become vectors."""

    @abstractmethod
    def build(self, dim: int, unit: Unit, codec: Codec) -> nn.Module:
        """The module from ids (B, n, ...) to vectors (B, n, dim). Raises UsageError where tokens are no ids."""


def _codes(part: Embedding, unit: Unit) -> tuple[int, int]:
    if isinstance(unit, Continuous):
        raise UsageError(f"{type(part).__name__} embeds ids; this tokenizer gives latents")
    return unit.vocab, unit.codes


@dataclass(frozen=True)
class Table(Embedding):
    """A learned vector for every id; `std` at first."""

    std: float = 0.02

    def build(self, dim: int, unit: Unit, codec: Codec) -> TableModule:
        """The table."""
        return TableModule(dim, *_codes(self, unit), self.std)


@dataclass(frozen=True)
class CodeVectors(Embedding):
    """The tokenizer's code vectors, so that similar codes start similar; `std` of the initial map.

    Code vectors of length 1 (a codebook on the unit sphere) start with elements of size `std`, whatever their width.
    """

    std: float = 0.02

    def build(self, dim: int, unit: Unit, codec: Codec) -> CodeVectorsModule:
        """The map. Raises UsageError where the tokenizer has no code vectors (of Pixel use Table)."""
        return CodeVectorsModule(dim, _codes(self, unit)[1], codec, self.std)
