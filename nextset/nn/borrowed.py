"""A linear map whose matrix belongs to another module."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError


class Borrowed(nn.Module):
    """A linear map without bias whose matrix (V, D) is asked for at every use: it is in no state of this module."""

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.shape = (rows, dim)
        self._matrix: Callable[[], Tensor] | None = None

    def borrow(self, matrix: Callable[[], Tensor]) -> None:
        """From now on uses what `matrix` returns. Raises UsageError where that has another shape."""
        found = tuple(matrix().shape)
        if found != self.shape:
            raise UsageError(f"a table of shape {self.shape} is needed to share it, but the one there is has {found}")
        self._matrix = matrix

    @property
    def matrix(self) -> Tensor:
        """What was lent, (V, D)."""
        assert self._matrix is not None, "nothing was lent yet"
        return self._matrix()

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., V)."""
        return F.linear(x, self.matrix)
