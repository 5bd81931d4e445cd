"""One table for all codes: `Shift`, whose tokens are sums of it, and from which a backbone takes what it has just read (DnD-Transformer).

    slot of site t = e(k_1) + .. + e(k_Q) of site t;   added on the way, where code d of the site that the slot predicts was read: e(k_d)

Legend: B batch, L slots, Q codes a site, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Continuous, Layout, Unit
from ..orders.base import Plan
from .base import Call, WiringModule
from .shift import OneByOne


class InjectedModule(WiringModule):
    """The table."""

    def __init__(self, dim: int, vocab: int, std: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        nn.init.normal_(self.embed.weight, std=std)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots as they come, then sums of embedded codes."""
        ids = plan.to_ranks(tokens, call.held)
        return call.arrange(prefix, self.embed(ids) if ids.ndim == 2 else self.embed(ids).sum(2))

    def injection(self, call: Call, tokens: Tensor, plan: Plan) -> Callable[[int, Tensor], Tensor]:
        """The embedded code of the site that a slot predicts, and zeros in slots that predict nothing."""
        ids = plan.to_ranks(tokens, call.ranks)

        def inject(code: int, readout: Tensor) -> Tensor:
            added = readout.new_zeros(readout.shape)
            added[:, call.predictors] = self.embed(ids[..., code]).to(readout.dtype)
            return added

        return inject


@dataclass(frozen=True)
class Injected(OneByOne):
    """One site a step, plain causal mask. `std` is that of the initial table."""

    std: float = 0.02

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> InjectedModule:
        """The table."""
        if isinstance(unit, Continuous):
            raise UsageError("wiring Injected embeds ids; this tokenizer gives latents")
        return InjectedModule(dim, unit.vocab, self.std)
