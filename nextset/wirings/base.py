"""What every wiring promises: a table of slots for the whole sequence and for each step, and a module that fills them.

The tables are static: they follow from the step sizes and the number of condition slots alone, so masks and cache positions
are decided once (`Script`) and never inside a decoding step.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..layout import Layout, Unit
from ..orders.base import Plan
from ..slots import BLANK, PREFIX, Mask, Slots, SlotTable
from ..spec import Spec


class WiringModule(nn.Module, ABC):
    """Fills slots with vectors."""

    @abstractmethod
    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan) -> Tensor:
        """Contents (B, L, D) of the slots of `call`, given the condition slots (B, P, D) and tokens by site (B, N, ...).

        Only the tokens that the call holds are read; the others may be anything.
        """


@dataclass(frozen=True)
class Wiring(Spec, ABC):
    """Turns tokens and a plan into slots."""

    @abstractmethod
    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """All slots of a sequence with these step sizes and `prefix` condition slots, as training sees them."""

    @abstractmethod
    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The slots that become computable at step `index`; those that later steps may see come first."""

    @abstractmethod
    def build(self, dim: int, unit: Unit, layout: Layout) -> WiringModule:
        """The module that fills the slots with vectors of width `dim`."""


class Script:
    """Everything static about one sequence: tables, masks, predictors; for the whole (training) and step by step (decoding)."""

    def __init__(self, wiring: Wiring, sizes: tuple[int, ...], prefix: int, device: torch.device) -> None:
        self.prefix = prefix
        self.device = device
        self._wiring, self._sizes = wiring, sizes

    @functools.cached_property
    def whole(self) -> Call:
        """The one call of training."""
        table = self._wiring.whole(self._sizes, self.prefix)
        return Call(table, Mask.between(table, table).to(self.device), 0, self.device)

    @functools.cached_property
    def steps(self) -> tuple[Call, ...]:
        """The calls of decoding, one a step."""
        tables = [self._wiring.step(index, self._sizes, self.prefix) for index in range(len(self._sizes))]
        keeps = [self._keep(table) for table in tables]
        kept = SlotTable.join(*(table.take(slice(0, keep)) for table, keep in zip(tables, keeps, strict=True)))
        calls, held = [], 0
        for table, keep in zip(tables, keeps, strict=True):
            seen = kept.take(slice(0, held + keep))
            keys = seen if keep == len(table) else seen.join(table.take(slice(keep, None)))
            calls.append(Call(table, Mask.between(table, keys).to(self.device), keep, self.device))
            held += keep
        return tuple(calls)

    def _keep(self, table: SlotTable) -> int:
        keep = int(table.lasting.sum())
        assert table.lasting[:keep].all(), f"{self._wiring}: slots to keep must come first in a step"
        return keep

    @functools.cached_property
    def length(self) -> int:
        """Slots that a cache must hold: the kept ones of all steps and the passing ones of the largest."""
        held, most = 0, 0
        for call in self.steps:
            most = max(most, held + len(call.table))
            held += call.keep
        return most


@functools.lru_cache(maxsize=32)
def script(wiring: Wiring, sizes: tuple[int, ...], prefix: int, device: torch.device) -> Script:
    """The script of these sizes, made once and kept."""
    return Script(wiring, sizes, prefix, device)


class Call:
    """One call of the backbone, with everything that its table decides already on the device.

    `mask`; `keep` leading slots stay in the cache; the slots `predictors` predict `ranks`. Contents come in three parts: the first
    `prefixed` condition slots, the tokens of the ranks `held`, and slots without a token at the sites of the ranks `blank`.
    """

    def __init__(self, table: SlotTable, mask: Mask, keep: int, device: torch.device) -> None:
        self.table, self.mask, self.keep = table, mask, keep
        predictors = table.predictors()
        self.predictors = _compact(predictors, device)
        self.ranks = _compact(table.predicts[predictors], device)
        kinds = [np.flatnonzero(kind) for kind in (table.holds == PREFIX, table.holds >= 0, table.holds == BLANK)]
        self.prefixed = len(kinds[0])
        self.held = _compact(table.holds[kinds[1]], device)
        self.blank = _compact(table.at[kinds[2]], device)
        self._order = _compact(np.argsort(np.concatenate(kinds)), device)
        self._at = torch.as_tensor(table.at.clip(min=0), device=device)
        self._absent = torch.as_tensor(table.at < 0, device=device) if (table.at < 0).any() else None

    def arrange(self, prefix: Tensor, held: Tensor, blank: Tensor | None = None) -> Tensor:
        """The three parts (B, ..., D) in the order of the slots, (B, L, D)."""
        parts = [part for part in (prefix[:, : self.prefixed], held, blank) if part is not None and part.shape[1]]
        joined = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        return joined if isinstance(self._order, slice) else joined[:, self._order]

    def sites(self, plan: Plan) -> Tensor:
        """The site of each slot, (L,) or (B, L) int64, -1 where it has none."""
        sites = plan.perm[..., self._at]
        return sites if self._absent is None else torch.where(self._absent, -1, sites)

    def slots(self, x: Tensor, plan: Plan, vector: Tensor | None = None, valid: Tensor | None = None) -> Slots:
        """The slots with contents `x` (B, L, D); `valid` (B, T) marks the keys that are no padding."""
        mask = self.mask
        if valid is not None:
            mask = mask.padded(valid, x.shape[1], valid.shape[1])
        return Slots(x, self.sites(plan), mask, self.keep, vector)


def _compact(index: np.ndarray, device: torch.device) -> slice | Tensor:
    """A slice where the indices are a range (no copy, no gather), else a tensor."""
    start, count = (int(index[0]) if len(index) else 0), len(index)
    if (index == range(start, start + count)).all() if count else True:
        return slice(start, start + count)
    return torch.as_tensor(index, device=device)
