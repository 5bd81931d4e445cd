"""The place of a tokenizer that is not at hand: a generator loaded without it works on tokens alone.

Such a model has losses, likelihoods and `stream` on tokens; whatever needs a picture says what is missing. Legend: B batch, N sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from torch import Tensor

from ..errors import UsageError
from ..layout import Continuous, Discrete, Layout, Tokens, Unit, line
from .base import Tokenizer, TokenizerModule


class AbsentModule(TokenizerModule):
    """Says what is missing."""

    def encode(self, images: Tensor) -> NoReturn:
        """Raises UsageError."""
        raise missing()

    def decode(self, tokens: Tokens) -> NoReturn:
        """Raises UsageError."""
        raise missing()

    def loss(self, images: Tensor) -> NoReturn:
        """Raises UsageError."""
        raise missing()


def missing() -> UsageError:
    """What whoever needs pictures is told."""
    return UsageError(
        "this model was loaded without its tokenizer, so it knows tokens but no pictures; load both: "
        "files={'network': ..., 'tokenizer': ...}"
    )


@dataclass(frozen=True)
class Absent(Tokenizer):
    """Tokens of `codes` ids of `vocab` each or, without a vocabulary, vectors of `dim`.

    A site covers `stride` pixels a side; where `line` is given, there are so many sites on a line, whatever the size.
    """

    vocab: int = 0
    codes: int = 1
    dim: int = 0
    stride: int = 16
    line: int = 0
    channels: int = 3

    def __post_init__(self) -> None:
        if (self.vocab > 0) == (self.dim > 0) or self.codes < 1 or self.stride < 1 or self.line < 0:
            raise UsageError(f"{self}: give either vocab or dim, codes and stride of at least 1")

    @property
    def paints(self) -> bool:
        """No."""
        return False

    @property
    def unit(self) -> Unit:
        """As the tokens are."""
        return Discrete(self.vocab, self.codes) if self.vocab else Continuous(self.dim)

    def layout(self, size: tuple[int, int]) -> Layout:
        """The line, or a grid."""
        return line(self.line) if self.line else self.cut(size, self.stride)

    def build(self) -> AbsentModule:
        """Nothing."""
        return AbsentModule()


def stand_in(unit: Unit, stride: int = 16, line: int = 0) -> Absent:
    """One whose tokens are of `unit`."""
    if isinstance(unit, Discrete):
        return Absent(unit.vocab, unit.codes, stride=stride, line=line)
    return Absent(dim=unit.dim, stride=stride, line=line)
