"""Normalisation layers computed in at least float32 whatever the input type, and their specs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..spec import Spec
from .precision import at_least_float32


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis (Zhang and Sennrich 2019)."""

    def __init__(self, dim: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps
        self.weight = nn.Parameter(torch.ones(dim)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype as `x`."""
        wide = at_least_float32(x)
        if wide is x:
            return F.rms_norm(x, (self.dim,), self.weight, self.eps)
        normed = F.rms_norm(wide, (self.dim,), None, self.eps).to(x.dtype)
        return normed if self.weight is None else normed * self.weight


class LayerNorm(nn.LayerNorm):
    """(x - mean) / deviation * weight + bias over the last axis (Ba et al. 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype as `x`."""
        wide = at_least_float32(x)
        weight, bias = (p if p is None else p.to(wide.dtype) for p in (self.weight, self.bias))
        return F.layer_norm(wide, self.normalized_shape, weight, bias, self.eps).to(x.dtype)


@dataclass(frozen=True)
class Norm(Spec, ABC):
    """Describes a normalisation of the last axis."""

    @abstractmethod
    def build(self, dim: int) -> nn.Module:
        """The layer for vectors of width `dim`."""


@dataclass(frozen=True)
class RMS(Norm):
    """`RMSNorm`; without weights where not `affine`."""

    affine: bool = True
    eps: float = 1e-5

    def build(self, dim: int) -> RMSNorm:
        """The layer."""
        return RMSNorm(dim, self.eps, self.affine)


@dataclass(frozen=True)
class Chain(Norm):
    """Several, one after the other."""

    norms: tuple[Norm, ...]

    def build(self, dim: int) -> nn.Sequential:
        """The layers."""
        return nn.Sequential(*(norm.build(dim) for norm in self.norms))


@dataclass(frozen=True)
class Layer(Norm):
    """`LayerNorm`; without weights and biases where not `affine`."""

    affine: bool = True
    eps: float = 1e-6

    def build(self, dim: int) -> LayerNorm:
        """The layer."""
        return LayerNorm(dim, self.eps, self.affine)
