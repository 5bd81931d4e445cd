"""Steps told through AdaLN: each slot's vector is that of the condition and a learned one of its place in the sequence.

RAR (arXiv 2411.00776) does so over wiring Targeted; it goes over any wiring that builds up a sequence. The place is the step, not the
site: in a random order the two differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Layout, Unit
from ..orders.base import Plan
from ..slots import SlotTable
from .base import Call, Wiring, WiringModule


class SteppedModule(WiringModule):
    """The module of the wiring below, and a row for slots without a token, for condition slots, and for each rank but the last."""

    def __init__(self, inner: WiringModule, dim: int, sites: int, std: float) -> None:
        super().__init__()
        self.inner = inner
        self.steps = nn.Parameter(torch.empty(1, sites + 1, dim))
        nn.init.trunc_normal_(self.steps, std=std, a=-2 * std, b=2 * std)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """As the wiring below."""
        return self.inner.fill(call, prefix, tokens, plan, noisy)

    def vectors(self, call: Call, vector: Tensor | None, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """That of the wiring below and the row of what the slot holds, (B, L, D)."""
        below = self.inner.vectors(call, vector, plan, noisy)
        assert isinstance(below, Tensor), (
            "Network checks that there is a vector, and Stepped that nobody else changes it"
        )
        below = below[:, None] if below.ndim == 2 else below
        return below + self.steps[0, call.carried].to(below.dtype)

    def injection(self, call: Call, tokens: Tensor, plan: Plan) -> Callable[[int, Tensor], Tensor] | None:
        """As the wiring below."""
        return self.inner.injection(call, tokens, plan)


@dataclass(frozen=True)
class Stepped(Wiring):
    """`wiring`, with steps in the vector of AdaLN. `std` is that of the initial table."""

    wiring: Wiring
    std: float = 0.02

    def __post_init__(self) -> None:
        if self.wiring.modulates:
            raise UsageError(
                f"{self}: wiring {type(self.wiring).__name__} has a use of its own for the vector of AdaLN"
            )
        if self.wiring.afresh:
            raise UsageError(
                f"{self}: every step of wiring {type(self.wiring).__name__} is a new sequence, without places"
            )

    @property
    def lead(self) -> int:
        """As the wiring below."""
        return self.wiring.lead

    @property
    def modulates(self) -> bool:
        """It does nothing else."""
        return True

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """As the wiring below."""
        return self.wiring.whole(sizes, prefix)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """As the wiring below."""
        return self.wiring.step(index, sizes, prefix)

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> SteppedModule:
        """The module of the wiring below, and the table."""
        return SteppedModule(self.wiring.build(dim, unit, layout, codec), dim, layout.sites, self.std)
