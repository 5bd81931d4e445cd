"""AdaLN: a condition vector that shifts, scales and gates the branches of a block (DiT, Peebles and Xie 2022, arXiv 2212.09748).

    x + gate * branch(norm(x) * (1 + scale) + shift)

The vector is (B, D) for all slots, or (B, L, D) or `Vectors` where slots differ. Legend: B batch, L slots, D width, R branches of a
block, G vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..slots import Vectors
from ..spec import Spec

Triple = tuple[Tensor, Tensor, Tensor]  # shift, scale, gate, each (B, 1 or L, D)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (B, L, D) shifted and scaled."""
    return torch.addcmul(shift, x, 1 + scale)


class ModulationModule(nn.Module, ABC):
    """Gives every block its shifts, scales and gates."""

    @abstractmethod
    def forward(self, vector: Tensor | Vectors) -> list[tuple[Triple, ...]]:
        """For each block, for each of its branches, (shift, scale, gate), of the vector (B, D), (B, L, D) or one for many slots."""


class EachModule(ModulationModule):
    """One map a block."""

    def __init__(self, spec: Each, dim: int, depth: int, branches: int) -> None:
        super().__init__()
        self.branches = branches
        self.maps = nn.ModuleList(nn.Linear(dim, 3 * branches * dim) for _ in range(depth))
        for layer in self.maps:
            assert isinstance(layer, nn.Linear)
            _initialise(layer, spec.std, spec.gate, dim)

    def forward(self, vector: Tensor | Vectors) -> list[tuple[Triple, ...]]:
        """A product a block."""
        active = F.silu(_values(vector))
        return [_triples(layer(active), self.branches, vector) for layer in self.maps]


class GroupedModule(ModulationModule):
    """One map for `groups` blocks in turn, and a table a block."""

    def __init__(self, spec: Grouped, dim: int, depth: int, branches: int) -> None:
        super().__init__()
        self.branches, self.groups, self.depth = branches, spec.groups, depth
        self.map = nn.Linear(dim, spec.groups * 3 * branches * dim)
        self.tables = nn.Parameter(torch.randn(depth, 3 * branches * dim) / dim**0.5)
        _initialise(self.map, spec.std, spec.gate, dim)

    def forward(self, vector: Tensor | Vectors) -> list[tuple[Triple, ...]]:
        """One product for all blocks."""
        chunks = self.map(F.silu(_values(vector))).chunk(self.groups, dim=-1)
        return [_triples(chunks[i % self.groups] + self.tables[i], self.branches, vector) for i in range(self.depth)]


def _initialise(layer: nn.Linear, std: float, gate: float | None, dim: int) -> None:
    """Normal rows of `std`, those of gates (each third part of width `dim`) of `gate` where that differs; no biases."""
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    if gate is not None:
        nn.init.normal_(layer.weight.view(-1, 3, dim, dim)[:, 2], std=gate)


def _values(vector: Tensor | Vectors) -> Tensor:
    return vector.values if isinstance(vector, Vectors) else vector


def _spread(flat: Tensor, vector: Tensor | Vectors, rest: tuple[float, ...]) -> Tensor:
    """What was made of vectors, (B, [L or G,] n D), for every slot; slots without one get the n numbers `rest`."""
    if not isinstance(vector, Vectors):
        return flat[:, None] if flat.ndim == 2 else flat
    if vector.some:
        row = flat.new_empty(len(flat), 1, flat.shape[-1])
        for part, number in zip(row.chunk(len(rest), dim=-1), rest, strict=True):
            part.fill_(number)
        flat = torch.cat([flat, row], dim=1)
    return flat[:, vector.of]  # index -1 is the last row


def _triples(flat: Tensor, branches: int, vector: Tensor | Vectors) -> tuple[Triple, ...]:
    """(B, [L or G,] 3 R D), branch by branch (shift, scale, gate), as triples that broadcast over slots."""
    parts = _spread(flat, vector, (0.0, 0.0, 1.0) * branches).chunk(3 * branches, dim=-1)
    return tuple((parts[i], parts[i + 1], parts[i + 2]) for i in range(0, 3 * branches, 3))


@dataclass(frozen=True)
class Modulation(Spec, ABC):
    """Describes how a vector modulates blocks. `std` of the initial matrices is a field of its leaves."""

    if TYPE_CHECKING:

        @property
        def std(self) -> float: ...

    @abstractmethod
    def build(self, dim: int, depth: int, branches: int) -> ModulationModule:
        """The module for `depth` blocks of `branches` branches each."""


@dataclass(frozen=True)
class Each(Modulation):
    """A map of its own for every block. `std` of its initial matrix; 0: every gate starts closed (AdaLN-zero).

    `gate` is that of the rows that give gates, where it differs.
    """

    std: float = 0.0
    gate: float | None = None

    def build(self, dim: int, depth: int, branches: int) -> EachModule:
        """The maps."""
        return EachModule(self, dim, depth, branches)


@dataclass(frozen=True)
class Grouped(Modulation):
    """Block i takes part i mod `groups` of one map and adds a table of its own; 1: one map for all (PixArt's AdaLN-single)."""

    groups: int = 1
    std: float = 0.0
    gate: float | None = None

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise UsageError(f"{self}: groups must be at least 1")

    def build(self, dim: int, depth: int, branches: int) -> GroupedModule:
        """The map and the tables."""
        return GroupedModule(self, dim, depth, branches)


class ModulatedNorm(nn.Module):
    """norm(x) * (1 + scale) + shift by a map of its own: the layer before the head. `std` of the initial matrix."""

    def __init__(self, norm: nn.Module, dim: int, std: float = 0.0) -> None:
        super().__init__()
        self.norm, self.map = norm, nn.Linear(dim, 2 * dim)
        nn.init.normal_(self.map.weight, std=std)
        nn.init.zeros_(self.map.bias)

    def forward(self, x: Tensor, vector: Tensor | Vectors) -> Tensor:
        """(B, L, D) under a vector (B, D) or (B, L, D), or one for many slots."""
        shift, scale = _spread(self.map(F.silu(_values(vector))), vector, (0.0, 0.0)).chunk(2, dim=-1)
        return modulate(self.norm(x), shift, scale)
