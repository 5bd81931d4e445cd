"""What training and evaluation read: batches, each a pure function of (seed, step).

Legend: B batch, C channels, H height, W width, N sites, Q codes per site, D latent channels.
"""

from __future__ import annotations

import dataclasses
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from ..errors import NextsetError, UsageError
from .schedule import Schedule


@dataclass(frozen=True)
class Stack:
    """Several items of one size: images uint8 (B, H, W, C), labels int64 (B,), captions."""

    images: np.ndarray
    labels: np.ndarray
    captions: Sequence[str]


@runtime_checkable
class Stacking(Protocol):
    """A data set whose items all have the shape (H, W, C), and which gives many at once faster than one by one."""

    shape: tuple[int, int, int]

    def stack(self, index: np.ndarray) -> Stack:
        """The items `index` (B,)."""


@dataclass(frozen=True)
class Batch:
    """Images (B, C, H, W) float32 in [-1, 1], labels (B,) int64 (-1: none), captions, and places in the data set (B,) int64.

    A token cache gives `tokens` instead, ids (B, N) or (B, N, Q) int64 or latents (B, N, D), beside images of no size (B, C, 0, 0).
    """

    images: Tensor
    labels: Tensor
    captions: tuple[str, ...]
    index: Tensor
    tokens: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        return self._with([t.to(device, non_blocking=True) for t in self._tensors()])

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from where copies to a CUDA device run beside other work."""
        return self._with([t.pin_memory() for t in self._tensors()])

    def split(self, parts: int) -> list[Batch]:
        """At most `parts` batches of nearly equal size, in order."""
        pieces = [t.tensor_split(min(parts, len(self))) for t in self._tensors()]
        ends = np.cumsum([0, *(len(labels) for labels in pieces[1])])
        spans = zip(*pieces, itertools.pairwise(ends), strict=True)
        return [dataclasses.replace(self._with(list(ts)), captions=self.captions[a:b]) for *ts, (a, b) in spans]

    def _tensors(self) -> list[Tensor]:
        return [self.images, self.labels, self.index, *([] if self.tokens is None else [self.tokens])]

    def _with(self, tensors: list[Tensor]) -> Batch:
        return Batch(tensors[0], tensors[1], self.captions, tensors[2], *tensors[3:])


class Batches(ABC):
    """A stream of batches that can start at any step, since a batch is a pure function of (seed, step)."""

    workers: int

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """Which items make which batch."""

    @abstractmethod
    def gather(self, index: np.ndarray, epochs: np.ndarray | None) -> Batch:
        """The batch of the items `index` (B,) as seen in `epochs` (B,), which seed augmentation; None: as they are."""

    def __len__(self) -> int:
        """Steps of an epoch."""
        return self.schedule.steps

    def at(self, step: int) -> Batch:
        """This process's share of the batch of `step`."""
        return self.gather(*self.schedule.at(step))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The endless stream from step `start` on; with workers, other processes read ahead."""
        return self.read(self.schedule.at(step) for step in itertools.count(start))

    def once(self) -> Iterator[Batch]:
        """Every item of this process's share exactly once, in order, never augmented: for evaluation."""
        return self.read((index, None) for index in self.schedule.once())

    def read(self, picks: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> Iterator[Batch]:
        """The batches of these (items, epochs), in order."""
        if self.workers == 0:
            return itertools.starmap(self.gather, picks)
        return self._read_ahead(picks)

    def _read_ahead(self, picks: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> Iterator[Batch]:
        stream: torch_data.DataLoader[Batch | Exception] = torch_data.DataLoader(
            _Gathered(self),
            sampler=picks,
            batch_size=None,
            num_workers=self.workers,
            collate_fn=_as_is,
            pin_memory=torch.cuda.is_available(),
        )
        for batch in stream:
            if isinstance(batch, Exception):
                raise batch
            yield batch


class _Gathered(torch_data.Dataset["Batch | Exception"]):
    """Batches by the items that make them, as a torch data set.

    Errors meant for the user travel as values: raised in a worker they would arrive wrapped in its traceback.
    """

    def __init__(self, source: Batches) -> None:
        self.source = source

    def __getitem__(self, pick: tuple[np.ndarray, np.ndarray | None]) -> Batch | Exception:
        try:
            return self.source.gather(*pick)
        except (NextsetError, UsageError) as error:
            return error


def _as_is(batch: Any) -> Any:
    return batch
