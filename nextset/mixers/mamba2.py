"""Mamba-2: a state of fixed size in place of keys and values (Dao and Gu 2024, arXiv 2405.21060).

    [z, x, B, C, dt] = W u;   [x, B, C] through a short causal convolution and SiLU;   dt = softplus(dt + bias)
    y = scan(x, dt, -exp(a), B, C) + D x;   out = W' RMSNorm(y * silu(z))

Legend: B batch, L slots, D width, E inner width, H heads, P channels of a head, N state size, w width of the convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..nn.norm import RMSNorm
from ..nn.precision import at_least_float32
from ..nn.ssd import scan, step
from ..slots import SlotTable, visible
from .base import Context, Mixer, MixerModule
from .keeping import EXACT, Keeping, Shared, State


class Recurrence(Shared):
    """The last w - 1 inputs of the convolution (B, E + 2N, w - 1), and S (B, H, P, N) in at least float32; written in place."""

    def __init__(self, inputs: Tensor, memory: Tensor) -> None:
        self.inputs, self.memory = inputs, memory

    def narrow(self, batch: int) -> Recurrence:
        """The first `batch` samples, sharing memory."""
        return self.rows(0, batch)

    def rows(self, start: int, end: int) -> Recurrence:
        """These rows, sharing memory."""
        return Recurrence(self.inputs[start:end], self.memory[start:end])

    def move(self, source: int, target: int, kept: int) -> None:
        """All of it, whatever `kept` is."""
        for part in (self.inputs, self.memory):
            part[target] = part[source]

    def clear(self, row: int) -> None:
        """Zeros."""
        for part in (self.inputs, self.memory):
            part[row] = 0


class Mamba2Module(MixerModule):
    """One projection for everything that the scan needs; no biases but those of the convolution and of dt."""

    def __init__(self, spec: Mamba2, dim: int, dropout: float) -> None:
        super().__init__()
        self.spec, self.dropout = spec, dropout
        inner = spec.expand * dim
        heads, mixed = inner // spec.head_dim, inner + 2 * spec.state_dim
        self.split = (inner, mixed, heads)
        self.rise = nn.Linear(dim, sum(self.split), bias=False)
        self.conv = nn.Conv1d(mixed, mixed, spec.conv, groups=mixed)
        self.step_bias = nn.Parameter(_steps(heads))
        self.log_decay = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = RMSNorm(inner)
        self.out = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor, context: Context, state: State | None = None) -> Tensor:
        """(B, L, D) to (B, L, D), causal. Raises UsageError for slots that are padding, which a state would remember."""
        if context.mask.dense is not None and context.mask.dense.ndim > 2:
            raise UsageError(
                "mixer Mamba2 cannot leave out condition slots that are padding; give conditions of one length"
            )
        assert state is None or isinstance(state, Recurrence)
        keep, length = context.keep, x.shape[1]
        if state is None or keep >= length:
            mixed = self._mix(x, state, store=True)
        else:  # what is kept, and then the rest without leaving a trace
            cuts = ([(x[:, :keep], True)] if keep else []) + [(x[:, keep:], False)]
            mixed = torch.cat([self._mix(part, state, store) for part, store in cuts], dim=1)
        return F.dropout(mixed, self.dropout, self.training)

    def _mix(self, u: Tensor, state: Recurrence | None, store: bool) -> Tensor:
        gate, inputs, dt = self.rise(u).split(self.split, dim=-1)
        dt = F.softplus(at_least_float32(dt) + at_least_float32(self.step_bias))
        convolved = F.silu(self._convolve(inputs, state, store))
        x, b, c = convolved.split((self.split[0], self.spec.state_dim, self.spec.state_dim), dim=-1)
        x, decay = x.unflatten(-1, (-1, self.spec.head_dim)), -at_least_float32(self.log_decay).exp()
        if state is not None and u.shape[1] == 1:
            y, last = step(state.memory, x[:, 0], dt[:, 0], decay, b[:, 0], c[:, 0])
            y = y[:, None]
        else:
            y, last = scan(x, dt, decay, b, c, self.spec.chunk, state.memory if state else None)
        if state is not None and store:
            state.memory.copy_(last)
        y = (y + at_least_float32(self.skip)[:, None] * x).flatten(2) * F.silu(at_least_float32(gate))
        mixed: Tensor = self.out(self.norm(y.to(u.dtype)))
        return mixed

    def _convolve(self, inputs: Tensor, state: Recurrence | None, store: bool) -> Tensor:
        """(B, L, E + 2N), each slot of itself and the w - 1 before it."""
        past = self.spec.conv - 1
        inputs = inputs.transpose(1, 2)
        padded = (
            F.pad(inputs, (past, 0)) if state is None else torch.cat([state.inputs.to(inputs.dtype), inputs], dim=-1)
        )
        if state is not None and store:
            state.inputs.copy_(padded[..., padded.shape[-1] - past :])
        if state is not None and inputs.shape[-1] == 1:  # calling a convolution for one slot costs more
            assert self.conv.bias is not None
            found = (padded * self.conv.weight[:, 0]).sum(-1) + self.conv.bias
            return found[:, None]
        return self.conv(padded).transpose(1, 2)

    def state(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> Recurrence:
        """Zeros, however many slots there will be."""
        inner, mixed, heads = self.split
        memory = like.new_zeros(
            batch, heads, inner // heads, self.spec.state_dim, dtype=at_least_float32(like[:0]).dtype
        )
        return Recurrence(like.new_zeros(batch, mixed, self.spec.conv - 1), memory)


def _steps(heads: int, low: float = 1e-3, high: float = 0.1, floor: float = 1e-4) -> Tensor:
    """Biases (H,) that make dt log-uniform in [low, high]: softplus turned round."""
    dt = torch.empty(heads).uniform_(math.log(low), math.log(high)).exp().clamp(min=floor)
    return dt + torch.log(-torch.expm1(-dt))


@dataclass(frozen=True)
class Mamba2(Mixer):
    """Inner width `expand` * dim in heads of `head_dim`, `state_dim` numbers of state a channel; convolution over `conv` slots.

    `chunk` slots at a time are computed by products where many are known at once; it changes no result.
    """

    state_dim: int = 128
    head_dim: int = 64
    expand: int = 2
    conv: int = 4
    chunk: int = 64

    def __post_init__(self) -> None:
        if min(self.state_dim, self.head_dim, self.expand, self.chunk) < 1 or self.conv < 2:
            raise UsageError(f"{self}: conv must be at least 2, every other size at least 1")

    def check(self, whole: SlotTable) -> None:
        """Every slot must see exactly itself and all before it, and be kept."""
        if not (whole.lasting.all() and np.array_equal(visible(whole, whole), np.tri(len(whole), dtype=bool))):
            raise UsageError("mixer Mamba2 is a recurrence, which needs a causal mask over slots that are all kept")

    def build(self, dim: int, dropout: float) -> Mamba2Module:
        """The module for width `dim`; `head_dim` must divide expand * dim."""
        if self.expand * dim % self.head_dim:
            raise UsageError(f"{self}: head_dim must divide expand * dim = {self.expand * dim}")
        return Mamba2Module(self, dim, dropout)

    def rotary_dim(self, dim: int) -> None:
        """It takes no positions."""
        return
