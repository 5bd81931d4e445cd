"""What every wiring promises: a table of slots for the whole sequence and for each step, and a module that fills them.

The tables are static: they follow from the step sizes and the number of condition slots alone, so masks and cache positions
are decided once (`Script`) and never inside a decoding step.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Layout, Unit
from ..orders.base import Plan
from ..slots import BLANK, NONE, PREFIX, Mask, Slots, SlotTable, Source, Vectors
from ..spec import Spec


class WiringModule(nn.Module, ABC):
    """Fills slots with vectors."""

    pools: bool = False  # whether several ids may lie at a site, (B, N, m), and count as the mean of their embeddings

    def table(self) -> Tensor:
        """The vectors of all tokens (V, D), for a head that shares them. Raises UsageError where there is no such table."""
        raise UsageError(
            f"wiring {type(self).__name__.removesuffix('Module')} has no table of single ids that a head could share"
        )

    @abstractmethod
    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Contents (B, L, D) of the slots of `call`, given the condition slots (B, P, D) and tokens by site (B, N, ...).

        Only tokens up to the ranks that the call holds are read; the others may be anything. `noisy` is for wirings that carry
        noisy versions of the predicted tokens in blank slots.
        """

    def vectors(
        self, call: Call, vector: Tensor | None, plan: Plan, noisy: Noisy | None = None
    ) -> Tensor | Vectors | None:
        """The vector of AdaLN, (B, D) for all slots, (B, L, D) or `Vectors` for each, made of that of the condition (B, D)."""
        return vector

    def injection(self, call: Call, tokens: Tensor, plan: Plan) -> Callable[[int, Tensor], Tensor] | None:
        """What a backbone that reads codes out on its way adds to its stream (`Slots.inject`); None: nothing, and codes are independent."""
        return None


@dataclass(frozen=True)
class Wiring(Spec, ABC):
    """Turns tokens and a plan into slots."""

    @property
    def afresh(self) -> bool:
        """Whether every step encodes everything that it sees afresh, so that nothing is ever kept in a cache."""
        return False

    @property
    def lead(self) -> int:
        """How many slots of its own lie before the condition slots."""
        return 0

    @property
    def modulates(self) -> bool:
        """Whether it tells slots something by the vector of AdaLN, which the backbone then has to use."""
        return False

    @abstractmethod
    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """All slots of a sequence with these step sizes and `prefix` condition slots, as training sees them."""

    @abstractmethod
    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The slots that become computable at step `index`; those that later steps may see come first."""

    def check(self, sizes: tuple[int, ...], layout: Layout) -> None:
        """Raises UsageError where it cannot follow an order that takes these steps on `layout`."""

    def noised(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The slots of a sequence whose steps see earlier ones as noisy as they are. Raises UsageError where there are none."""
        raise UsageError(f"wiring {type(self).__name__} has no noisy context; use Beside()")

    @abstractmethod
    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> WiringModule:
        """The module that fills the slots with vectors of width `dim`; `codec` are the methods of the tokenizer that it may call."""


class Script:
    """Everything static about one sequence: tables, masks, predictors; for the whole (training) and step by step (decoding).

    Its tensors take part in training even where they are first needed in inference mode.
    """

    def __init__(self, wiring: Wiring, sizes: tuple[int, ...], prefix: int, device: torch.device) -> None:
        self.prefix = prefix
        self.lead = wiring.lead
        self.device = device
        self._wiring, self._sizes = wiring, sizes

    @functools.cached_property
    @torch.inference_mode(False)
    def whole(self) -> Call:
        """The one call of training."""
        table = self._wiring.whole(self._sizes, self.prefix)
        return self._call(table, table, 0)

    @functools.cached_property
    @torch.inference_mode(False)
    def noised(self) -> Call:
        """The one call of training on noisy context."""
        table = self._wiring.noised(self._sizes, self.prefix)
        return Call(table, Mask.between(table, table).to(self.device), 0, self.device)

    @functools.cached_property
    @torch.inference_mode(False)
    def steps(self) -> tuple[Call, ...]:
        """The calls of decoding, one a step."""
        tables = [self._wiring.step(index, self._sizes, self.prefix) for index in range(len(self._sizes))]
        keeps = [self._keep(table) for table in tables]
        kept = SlotTable.join(*(table.take(slice(0, keep)) for table, keep in zip(tables, keeps, strict=True)))
        calls, held = [], 0
        for table, keep in zip(tables, keeps, strict=True):
            seen = kept.take(slice(0, held + keep))
            keys = seen if keep == len(table) else seen.join(table.take(slice(keep, None)))
            calls.append(self._call(table, keys, keep))
            held += keep
        return tuple(calls)

    @functools.cached_property
    @torch.inference_mode(False)
    def again(self) -> tuple[Call, ...]:
        """The calls of a step that is asked once more: without the slots that the first call of the step has kept."""
        calls, kept = [], None
        for call in self.steps:
            own = call.table.take(slice(0, call.keep))
            kept = own if kept is None else kept.join(own)
            rest = call.table.take(slice(call.keep, None))
            calls.append(self._call(rest, kept.join(rest), 0))
        return tuple(calls)

    def _call(self, table: SlotTable, keys: SlotTable, keep: int) -> Call:
        return Call(table, Mask.between(table, keys), keep, self.device, Mask.parts(table, keys))

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

    def room(self, passing: bool) -> int:
        """Slots that a cache must hold; without those that nobody will see where these do not pass through it."""
        return self.length if passing else sum(call.keep for call in self.steps)


@functools.lru_cache(maxsize=32)
def script(wiring: Wiring, sizes: tuple[int, ...], prefix: int, device: torch.device) -> Script:
    """The script of these sizes, made once and kept."""
    return Script(wiring, sizes, prefix, device)


class Call:
    """One call of the backbone, with everything that its table decides already on the device.

    `mask`, and where blank slots are pure queries its `parts`; `keep` leading slots stay in the cache; the slots `predictors` predict
    `ranks`. Contents come in three parts: the first `prefixed` condition slots, the tokens of the ranks `held`, and slots without a
    token at the sites of the ranks `blank`. `filled` are the indices of the first two kinds of slots, `empty` those of the last.
    `carried` says what each slot holds as a row of a table: 0 no token, 1 a condition slot, 2 + r the token of rank r.
    """

    def __init__(
        self,
        table: SlotTable,
        mask: Mask,
        keep: int,
        device: torch.device,
        parts: tuple[Mask, Mask] | None = None,
    ) -> None:
        self.table, self.mask, self.keep = table, mask.to(device), keep
        self.parts = parts and (parts[0].to(device), parts[1].to(device))
        self._device = device
        self.ranks = _compact(table.predicted, device)
        self.predictors = _compact(table.predictors(), device)
        self._second = _Second(table, device) if (table.also != NONE).any() else None
        kinds = [np.flatnonzero(kind) for kind in (table.holds == PREFIX, table.holds >= 0, table.holds == BLANK)]
        self.prefixed = len(kinds[0])
        self.held = _compact(table.holds[kinds[1]], device)
        self.blank = _compact(table.at[kinds[2]], device)
        self.filled, self.empty = (_compact(k, device) for k in (np.sort(np.concatenate(kinds[:2])), kinds[2]))
        self.carried = _compact(table.holds - BLANK, device)
        self._order = _compact(np.argsort(np.concatenate(kinds)), device)
        self._at, self._predicts = (_Ranks(column, device) for column in (table.at, table.predicts))

    @functools.cached_property
    @torch.inference_mode(False)
    def blocks(self) -> Blocks:
        """The blocks of blank slots: those of one group."""
        return Blocks(self.table, self._device)

    def arrange(self, prefix: Tensor, held: Tensor, blank: Tensor | None = None) -> Tensor:
        """The three parts (B, ..., D) in the order of the slots, (B, L, D)."""
        parts = [part for part in (prefix[:, : self.prefixed], held, blank) if part is not None and part.shape[1]]
        joined = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        return joined if isinstance(self._order, slice) else joined[:, self._order]

    def sites(self, plan: Plan) -> Tensor:
        """The site of each slot, (L,) or (B, L) int64, -1 where it has none."""
        return self._at.sites(plan)

    def targets(self, plan: Plan) -> Tensor:
        """The site that each slot predicts, in the same way."""
        return self._predicts.sites(plan)

    def slots(
        self,
        x: Tensor,
        plan: Plan,
        vector: Tensor | Vectors | None = None,
        valid: Tensor | None = None,
        inject: Callable[[int, Tensor], Tensor] | None = None,
        source: Source | None = None,
    ) -> Slots:
        """The slots with contents `x` (B, L, D); `valid` (B, T) marks the keys that are no padding."""
        mask, parts = self.mask, self.parts
        if valid is not None:
            mask = mask.padded(valid, x.shape[1], valid.shape[1])
            parts = parts and self._padded_parts(parts, valid)
        sites, targets = self.sites(plan), self.targets(plan)
        return Slots(x, sites, mask, self.keep, vector, targets, self.filled, self.empty, inject, parts, source)

    def _padded_parts(self, parts: tuple[Mask, Mask], valid: Tensor) -> tuple[Mask, Mask]:
        queries = int((self.table.holds == BLANK).sum())
        filled, keys = len(self.table) - queries, valid.shape[1] - queries
        return parts[0].padded(valid, filled, keys), parts[1].padded(valid, queries, keys, own=False)

    def predicted(self, hidden: Tensor) -> Tensor:
        """Of hidden vectors of all slots (B, L, W) those of what is predicted, by rank, (B, n, W).

        Where slots have two readouts, each half of W: what both predict gets half of each, the rest that which there is, and zeros.
        A linear head on that averages the two logits.
        """
        return hidden[:, self.predictors] if self._second is None else self._second.meet(hidden)


class Blocks:
    """Blank slots by group. `first` indexes the first of each among the blank ones.

    `of` (L,) int64 says for every slot in which block it is; -1: in none. In `clean` these have the number after the last block's
    instead. `only`: one block is all there is.
    """

    def __init__(self, table: SlotTable, device: torch.device) -> None:
        blank = table.holds == BLANK
        _, first, inverse = np.unique(table.group[blank], return_index=True, return_inverse=True)
        of = np.full(len(table), -1)
        of[blank] = inverse
        self.first, self.only = _compact(first, device), len(first) == 1 and bool(blank.all())
        self.of = torch.as_tensor(of, device=device)
        self.clean = torch.as_tensor(np.where(blank, of, len(first)), device=device)


class _Ranks:
    """A column of ranks, turned into sites under a plan."""

    def __init__(self, column: np.ndarray, device: torch.device) -> None:
        self.ranks = torch.as_tensor(column.clip(min=0), device=device)
        self.absent = torch.as_tensor(column < 0, device=device) if (column < 0).any() else None

    def sites(self, plan: Plan) -> Tensor:
        sites = plan.perm[..., self.ranks]
        return sites if self.absent is None else torch.where(self.absent, -1, sites)


class _Second:
    """Which slots predict each rank by their first and by their second readout, and how much either counts."""

    def __init__(self, table: SlotTable, device: torch.device) -> None:
        found = np.stack([table.predictors(0), table.predictors(1)])
        weights = (found >= 0) / (found >= 0).sum(0)
        self.slots = torch.as_tensor(found.clip(min=0), device=device)
        self.weights = torch.as_tensor(weights, dtype=torch.float32, device=device)[:, :, None]

    def meet(self, hidden: Tensor) -> Tensor:
        parts = zip(hidden.chunk(2, dim=-1), self.slots, self.weights.to(hidden.dtype), strict=True)
        return torch.cat([part[:, slots] * weights for part, slots, weights in parts], dim=-1)


def _compact(index: np.ndarray, device: torch.device) -> slice | Tensor:
    """A slice where the indices are a range (no copy, no gather), else a tensor."""
    start, count = (int(index[0]) if len(index) else 0), len(index)
    if (index == range(start, start + count)).all() if count else True:
        return slice(start, start + count)
    return torch.as_tensor(index, device=device)
