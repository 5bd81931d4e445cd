"""Captions as they are written, read by a small encoder that is trained with the rest: no other model is needed.

A caption is words of a vocabulary, padded on the left with "nothing", so that the last slot, which predicts the first token, always
holds the caption's end. Each word is embedded and given a learned position; a few bidirectional blocks then let every word know the
others. "No caption" is a caption of one word out of one. Nothing is masked: padding is a word, so every backbone can take it.

Legend: B batch, P slots, D width.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError, nearest
from ..mixers import Attention, Context, TransformerBlock
from ..nn.feedforward import MLP
from ..nn.norm import RMS
from ..slots import Mask
from .base import Condition, Conditioning, ConditionModule
from .text import counted

NOTHING = 0  # the id of padding; words follow, and last "no caption"
_WORD = re.compile(r"\w+(?:['-]\w+)*|[^\w\s]")


def words_of(caption: str) -> list[str]:
    """Its words and signs, in lower case."""
    return _WORD.findall(caption.lower())


def vocabulary(captions: Iterable[str], most: int = 10_000) -> tuple[str, ...]:
    """The `most` frequent words of captions in alphabetical order: what `Captions` needs to know of a data set."""
    counts = Counter(word for caption in captions for word in words_of(caption))
    return tuple(sorted(word for word, _ in counts.most_common(most)))


class CaptionsModule(ConditionModule):
    """The table of words, the positions, and the blocks."""

    def __init__(self, spec: Captions, dim: int) -> None:
        super().__init__()
        self.spec, self.ids = spec, {word: place for place, word in enumerate(spec.words, 1)}
        self.embed = nn.Embedding(len(spec.words) + 2, dim)
        self.position = nn.Parameter(torch.empty(spec.slots, dim))
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, Attention(spec.heads), MLP(), RMS(), dropout=0.0) for _ in range(spec.depth)
        )
        self.norm = RMS().build(dim)
        for table in (self.embed.weight, self.position):
            nn.init.normal_(table, std=spec.std)

    def prepare(self, condition: Any, batch: int | None, device: torch.device) -> Tensor:
        """Ids (B, P) int64 of one caption (repeated), of a sequence of B, of None (no caption for anybody), or as made before."""
        if condition is None or isinstance(condition, str):
            condition = [condition]
        if not isinstance(condition, Tensor):
            if not isinstance(condition, Sequence) or not all(isinstance(c, str | None) for c in condition):
                raise UsageError(f"condition must be a caption or a list of them, got {type(condition).__name__}")
            condition = torch.tensor([self._read(caption) for caption in condition]).view(-1, self.spec.slots)
        if condition.ndim != 2 or condition.shape[1] != self.spec.slots or condition.dtype != torch.int64:
            raise UsageError(
                f"condition must be captions, or what prepare made of them, got {condition.dtype} {tuple(condition.shape)}"
            )
        return counted(condition, batch).to(device)

    def _read(self, caption: str | None) -> list[int]:
        """P ids. Raises UsageError for words that it does not know, and for too many or none."""
        if caption is None:
            return [self.nobody] * self.spec.slots
        found = words_of(caption)
        unknown = [word for word in found if word not in self.ids]
        if unknown:
            raise UsageError(
                f"condition: caption {caption!r} has the unknown word {unknown[0]!r}{nearest(unknown[0], self.ids)}"
            )
        if not 1 <= len(found) <= self.spec.slots:
            raise UsageError(f"condition: captions have 1 to {self.spec.slots} words, {caption!r} has {len(found)}")
        return [NOTHING] * (self.spec.slots - len(found)) + [self.ids[word] for word in found]

    @property
    def nobody(self) -> int:
        """The id that stands for no caption."""
        return len(self.spec.words) + 1

    def forward(self, prepared: Tensor, drop: bool = False) -> Conditioning:
        """P slots a sample, and the last of them as the vector where one is wanted."""
        if drop and self.spec.dropout:
            dropped = torch.rand(len(prepared), 1, device=prepared.device) < self.spec.dropout
            prepared = torch.where(dropped, self.nobody, prepared)
        x = self.embed(prepared) + self.position
        for block in self.blocks:
            x = block(x, Context(None, Mask()))
        x = self.norm(x)
        return Conditioning(x, x[:, -1] if self.spec.vector else None)

    def null(self, prepared: Tensor) -> Conditioning:
        """No caption."""
        return self.forward(torch.full_like(prepared, self.nobody))


@dataclass(frozen=True)
class Captions(Condition):
    """Captions of up to `slots` words out of `words` (`vocabulary` finds those of a data set), read by `depth` blocks of `heads` heads.

    The last slot may also be the vector of AdaLN, with `vector`. In training a fraction `dropout` of the captions is replaced by none.
    """

    words: tuple[str, ...]
    slots: int = 24
    depth: int = 2
    heads: int = 4
    dropout: float = 0.1
    std: float = 0.02
    vector: bool = False

    def __post_init__(self) -> None:
        odd = [word for word in self.words if words_of(word) != [word]]
        if odd or not self.words or len(set(self.words)) < len(self.words):
            raise UsageError(
                f"Captions needs words, each once, lower case and without spaces, got {', '.join(map(repr, odd)) or self.words}"
            )
        if min(self.slots, self.depth, self.heads) < 1:
            raise UsageError("Captions: slots, depth and heads must be at least 1")

    def of(self, labels: Tensor, captions: Sequence[str]) -> list[str | None]:
        """The captions without unknown words, cut at `slots`: a rare word of a data set ends no training. None where nothing is left."""
        known = set(self.words)
        kept = ([word for word in words_of(caption) if word in known][: self.slots] for caption in captions)
        return [" ".join(words) or None for words in kept]

    def build(self, dim: int) -> CaptionsModule:
        """The encoder for slots of width `dim`, which `heads` must divide."""
        return CaptionsModule(self, dim)
