"""Tied head: logits are products with the vectors that tokens are embedded by (Press and Wolf 2017, arXiv 1608.05859).

The matrix is the wiring's table: there is one of it, so it is saved once and its gradient is the sum of both uses.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ..layout import Codec, Discrete, Unit
from ..nn.borrowed import Borrowed
from .base import Head
from .categorical import CategoricalModule


@dataclass(frozen=True)
class Tied(Head):
    """One id a site; needs a wiring with a table of ids."""

    def build(self, dim: int, unit: Unit, codec: Codec) -> CategoricalModule:
        """The head, without a matrix until `tie`."""
        if not isinstance(unit, Discrete) or unit.codes != 1:
            raise UsageError(f"head Tied needs one id a site, but this tokenizer gives {unit}")
        return CategoricalModule(Borrowed(unit.vocab, dim))
