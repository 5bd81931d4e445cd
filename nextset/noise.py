"""Random numbers of a batch, one independent stream per sample.

Sample i of seed s draws the same numbers whatever the batch, the device or the number of processes, because its stream is
seeded by a hash of (s, i) and always drawn on the CPU.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import UsageError


def mix(*parts: int | str) -> int:
    """A 63-bit seed from any numbers or words: neighbouring inputs give unrelated streams."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def spread(seed: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """`count` numbers in [0, 1), each uniform, and together evenly spread: frac(u + i / count) with one u drawn from `seed`."""
    start = torch.rand((), generator=torch.Generator().manual_seed(mix(seed, "spread")), dtype=torch.float64)
    return ((start + torch.arange(count) / count) % 1).to(device, torch.float32).clamp(max=1 - 2**-24)


class Noise:
    """The streams of samples `indices` under `seed`."""

    def __init__(self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu") -> None:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise UsageError(f"seed must be an integer, got {seed!r}")
        self.device = torch.device(device)
        self._seed, self._indices = seed, indices

    def __len__(self) -> int:
        return len(self._indices)

    @functools.cached_property
    def streams(self) -> list[torch.Generator]:
        """One generator a sample, made when something is first drawn."""
        return [torch.Generator().manual_seed(mix(self._seed, i)) for i in self._indices]

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1), (B, *shape) float32."""
        return self._to_device([torch.rand(shape, generator=stream) for stream in self.streams])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (B, *shape) float32."""
        return self._to_device([torch.randn(shape, generator=stream) for stream in self.streams])

    def permutation(self, size: int) -> Tensor:
        """A random order of range(size) for each sample, (B, size) int64."""
        return self._to_device([torch.randperm(size, generator=stream) for stream in self.streams])

    def _to_device(self, rows: list[Tensor]) -> Tensor:
        return torch.stack(rows).to(self.device, non_blocking=True)
