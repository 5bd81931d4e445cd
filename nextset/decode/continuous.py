"""Continuous batching: samples at steps of their own share every pass through the network (Flover, Yao et al. 2023, arXiv 2305.13484).

The batch is a block of rows in one cache. A sample takes a row, or two while steps to come are guided; it joins behind the last row at any
step and leaves when it is done. Then the last row moves into the hole, so that rows stay one block and a call needs no gathering: each
row that is freed costs at most one copy, of what the moved row has kept. (Flover's code searches for the window of rows with the fewest
moves; here the window begins at row 0, which saves the search and costs a copy only where the first rows leave.) The two rows of a
guided sample need not be neighbours.

Legend: W width of hidden vectors, S sites of all samples together, n of one, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import UsageError
from ..heads.base import HeadModule, Picker
from ..mixers import EXACT, Cache, Places, Ragged, Shared
from ..mixers.keeping import Whole
from ..wirings.base import Call, Script
from .fuse import Row, fuse, groups
from .loop import Decodable, Run, write


@dataclass(eq=False)
class Sample:
    """One sample on its way: its run, the head's numbers by rank (1, N, ...), its pick, the steps done, and the rows of its halves."""

    run: Run
    drawn: Tensor
    pick: Picker
    step: int = 0
    rows: list[int] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return len(self.run.script.steps)

    @property
    def call(self) -> Call:
        """That of the next step."""
        return self.run.script.steps[self.step]

    @property
    def scale(self) -> float:
        """That of the next step."""
        return self.run.scale(self.step)

    @property
    def width(self) -> int:
        """The rows that it needs."""
        return 2 if self.run.guided else 1


class Batch:
    """`capacity` rows of a network's cache, with room for `slots` slots each, and the samples in them."""

    def __init__(self, network: Decodable, capacity: int, slots: int, like: Tensor) -> None:
        """Keys and values come with the dtype and device of `like`. Raises UsageError where rows cannot be at different steps."""
        if type(network.head).answer is not HeadModule.answer:
            name = type(network.head).__name__.removesuffix("Module")
            raise UsageError(
                f"head {name} asks the network in a way of its own, which other samples cannot share; use Model.generate"
            )
        if network.keeping != EXACT:
            raise UsageError(
                f"a shared batch keeps keys and values exactly, but this network is to keep them by {network.keeping}"
            )
        self.network, self.capacity, self.slots = network, capacity, slots
        self.owners: list[Sample] = []  # of every row in use
        self._places = Places()
        states = network.backbone.cache(capacity, slots + 1, like).states if slots else []
        self._states = [_shared(state, self._places) for state in states]
        attends = [isinstance(state, Ragged) for state in self._states]
        self.recurrent = not all(attends)
        self._mixed = self.recurrent and any(attends)

    @property
    def samples(self) -> list[Sample]:
        """Those in it, each once."""
        return list(dict.fromkeys(self.owners))

    def check(self, sample: Sample) -> None:
        """Raises UsageError for a sample that would never fit, or that cannot share its calls with others."""
        run = sample.run
        if run.seam is not None:
            raise UsageError(
                "guidance: hidden vectors of samples that share a batch cannot be guided inside the backbone; use Constant(scale)"
            )
        if self.recurrent and run.valid is not None:
            raise UsageError(
                "a recurrent state cannot leave out condition slots that are padding; use another mixer than Mamba2"
            )
        if self._mixed and any(call.parts is None for call in run.script.steps):
            raise UsageError(
                "samples cannot share a backbone where recurrent and attending mixers take turns; use Model.generate"
            )
        if sample.width > self.capacity:
            raise UsageError(
                f"rows={self.capacity} is too few for a guided sample, which takes two; use rows=2 or more, or guidance=1"
            )
        room = room_of(self.network, run.script)
        if room > self.slots:
            raise UsageError(
                f"order: its steps need {room} slots, but rows have {self.slots}; name the order when making the engine: orders=[...]"
            )

    def fits(self, sample: Sample) -> bool:
        """Whether there are rows for it now."""
        return len(self.owners) + sample.width <= self.capacity

    @torch.inference_mode()
    def join(self, sample: Sample) -> None:
        """Gives it empty rows at the end."""
        for _ in range(sample.width):
            for state in self._states:
                state.clear(len(self.owners))
            sample.rows.append(len(self.owners))
            self.owners.append(sample)

    @torch.inference_mode()
    def leave(self, sample: Sample, keep: int = 0) -> None:
        """Frees its rows but the first `keep`; the last rows of all move there."""
        while len(sample.rows) > keep:
            row, last = sample.rows.pop(), len(self.owners) - 1
            moved = self.owners.pop()
            if row != last:
                for state in self._states:
                    state.move(last, row, moved.run.seen)
                moved.rows[moved.rows.index(last)] = row
                self.owners[row] = moved

    @torch.inference_mode()
    def step(self) -> list[Sample]:
        """Every sample takes its next step. Gives those that are done, which have left."""
        samples = self.samples
        halves = self._computed(samples)
        self._answer(samples, [sample.call.predicted(halves[sample]) for sample in samples])
        for sample in samples:
            sample.run.seen += sample.call.keep
            sample.step += 1
        done = []
        for sample in samples:  # now that all know what they have kept: rows move
            if sample.step == sample.steps:
                self.leave(sample)
                done.append(sample)
            elif sample.run.enter(sample.step):
                self.leave(sample, keep=1)
        return done

    def _computed(self, samples: Sequence[Sample]) -> dict[Sample, Tensor]:
        """Hidden vectors (1 or 2, L, W) of each sample's next call."""
        slots = {sample: sample.run.slots(sample.call, sample.scale) for sample in samples}
        rows = [
            Row(owner.call, slots[owner], owner.rows.index(row), owner.run.seen)
            for row, owner in enumerate(self.owners)
        ]
        found: list[Tensor] = []
        for part in groups(rows, self.network.backbone.aligned, self.recurrent):
            fused = fuse(rows[part], self.slots, self.recurrent)
            self._places.set(fused.at)
            cache = Cache([state.rows(part.start, part.stop) for state in self._states]) if self._states else None
            found += fused.hidden(self.network.backbone(fused.slots, cache))
        return {sample: torch.stack([found[row] for row in sample.rows]) for sample in samples}

    def _answer(self, samples: Sequence[Sample], hidden: Sequence[Tensor]) -> None:
        """Draws the tokens of every sample from its halves (1 or 2, n, W), and writes them."""
        continuous = samples[0].run.tokens.is_floating_point()
        drawn = [sample.drawn[:, sample.call.ranks] for sample in samples]
        new = (_alike if continuous else _at_once)(self.network.head, samples, hidden, drawn)
        for sample, tokens in zip(samples, new, strict=True):
            write(sample.run.tokens, sample.run.plan.perm[..., sample.call.ranks], tokens)


def room_of(network: Decodable, script: Script) -> int:
    """The slots that a row needs for these steps; 0 where nothing is kept."""
    return script.room(network.backbone.passing) if any(call.keep for call in script.steps) else 0


def _shared(state: object, places: Places) -> Shared:
    if isinstance(state, Whole):
        return Ragged(state.k, state.v, places)
    if isinstance(state, Shared):
        return state
    raise UsageError(f"samples cannot share a state of kind {type(state).__name__}; use Model.generate")


class _Each:
    """Every sample's own guidance and pick, on the logits of all their sites: first the conditional ones, then the unguided."""

    temperature = 1.0

    def __init__(self, samples: Sequence[Sample], sizes: Sequence[int], others: Sequence[int]) -> None:
        self.parts, start, other = [], 0, sum(sizes)
        for sample, size, more in zip(samples, sizes, others, strict=True):
            self.parts.append((sample, slice(start, start + size), slice(other, other + more)))
            start, other = start + size, other + more

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Ids (1, S, ...) of logits (1, S, ..., V); the unguided sites get those of the conditional ones, from which a head may go on."""
        ids = torch.empty(uniform.shape, dtype=torch.int64, device=uniform.device)
        for sample, own, other in self.parts:
            guided = other.stop > other.start
            mine = logits[:, other].lerp(logits[:, own], sample.scale) if guided else logits[:, own]
            ids[:, own] = sample.pick(mine, uniform[:, own])
            if guided:
                ids[:, other] = ids[:, own]
        return ids


def _at_once(
    head: HeadModule, samples: Sequence[Sample], hidden: Sequence[Tensor], drawn: Sequence[Tensor]
) -> list[Tensor]:
    """Ids (1, n, ...) of each sample. Heads of ids draw from logits, so guidance can wait until all of them are there, from one product."""
    guided = [sample.scale != 1.0 for sample in samples]
    sizes = [part.shape[1] for part in hidden]
    others = [size if also else 0 for size, also in zip(sizes, guided, strict=True)]
    vectors = [part[:1] for part in hidden] + [part[1:] for part, also in zip(hidden, guided, strict=True) if also]
    numbers = [*drawn, *(part for part, also in zip(drawn, guided, strict=True) if also)]
    ids = head.sample(torch.cat(vectors, 1), None, 1.0, torch.cat(numbers, 1), _Each(samples, sizes, others))
    return list(ids[:, : sum(sizes)].split(sizes, dim=1))


def _alike(
    head: HeadModule, samples: Sequence[Sample], hidden: Sequence[Tensor], drawn: Sequence[Tensor]
) -> list[Tensor]:
    """Vectors (1, n, C) of each sample. Heads of vectors guide on their way, so only samples of one scale and temperature go together."""
    kinds: dict[tuple[float, float], list[int]] = {}
    for index, sample in enumerate(samples):
        kinds.setdefault((sample.scale, sample.pick.temperature), []).append(index)
    new: dict[int, Tensor] = {}
    for (scale, _), chosen in kinds.items():
        conditional = torch.cat([hidden[index][:1] for index in chosen], dim=1)
        unguided = None if scale == 1.0 else torch.cat([hidden[index][1:] for index in chosen], dim=1)
        numbers = torch.cat([drawn[index] for index in chosen], dim=1)
        found = head.sample(conditional, unguided, scale, numbers, samples[chosen[0]].pick)
        new |= zip(chosen, found.split([hidden[index].shape[1] for index in chosen], dim=1), strict=True)
    return [new[index] for index in range(len(samples))]
