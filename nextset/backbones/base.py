"""What every backbone promises: slots in, one hidden vector a slot out, with or without a cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from ..layout import Layout
from ..mixers import EXACT, Cache, Keeping, MixerModule
from ..slots import Slots, SlotTable
from ..spec import Spec


class BackboneModule(nn.Module, ABC):
    """Computes slots."""

    checkpointing: bool = False  # recompute activations in the backward pass instead of storing them
    passing: bool = True  # slots that are not kept need room in the cache too, while their call lasts
    aligned: bool = False  # slots with and without a token must stand at the same places of a call in all samples

    @abstractmethod
    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, D) of slots (B, L, D). With a cache the slots also see what earlier calls kept in it."""

    def cache(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> Cache:
        """An empty cache for `batch` samples and up to `slots` slots, with the dtype and device of `like`: one state a mixer.

        `keeping` says how keys and values are kept.
        """
        return Cache([m.state(batch, slots, like, keeping) for m in self.modules() if isinstance(m, MixerModule)])


@dataclass(frozen=True)
class Backbone(Spec, ABC):
    """Describes a backbone."""

    @property
    @abstractmethod
    def width(self) -> int:
        """D, the width of its slots."""

    @property
    def readouts(self) -> int:
        """How often a slot is read on the way through: once, at the end, unless the codes of a token are read one after the other."""
        return 1

    @property
    def out(self) -> int:
        """The width of the hidden vectors that it gives: its readouts side by side."""
        return self.width * self.readouts

    @property
    def modulated(self) -> bool:
        """Whether it needs the condition's vector (AdaLN)."""
        return False

    @property
    def seams(self) -> int:
        """After how many blocks its stream can be guided (`Slots.blend`); 0: it cannot."""
        return 0

    @property
    def listens(self) -> bool:
        """Whether it reads what the condition has for cross-attention."""
        return False

    def check(self, whole: SlotTable) -> None:
        """Raises UsageError where it cannot compute the slots of a whole sequence (a recurrence needs a causal mask)."""

    @abstractmethod
    def build(self, layout: Layout) -> BackboneModule:
        """The module for tokens on `layout`."""
