"""A system: what a paper decided, as data. The one place where parts meet is `System.network`.

A user edits one with `dataclasses.replace`, prints it, compares two with `diff`, and builds the model with `build`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .backbones import Backbone
from .conditions import Condition, Conditioning, Unconditional
from .decode import Constant, Guidance, Pick
from .errors import UsageError
from .heads import Categorical, Head, Noisy
from .layout import Layout, Tokens
from .noise import Noise
from .objectives import NextSet, Objective
from .orders import Order, Plan, Raster
from .slots import NONE
from .spec import Spec
from .tokenizers.base import Tokenizer, TokenizerModule
from .wirings import Call, Script, Shift, Wiring
from .wirings.base import script
from .wirings.masked import MaskedModule

if TYPE_CHECKING:
    from .model import Model


@dataclass(frozen=True)
class System(Spec):
    """Parts, the geometry, and how samples are drawn unless the caller says otherwise.

    `size` is (height, width) of the images in pixels; `guidance` and `pick` are the defaults of `Model.generate`.
    """

    tokenizer: Tokenizer
    backbone: Backbone
    size: tuple[int, int]
    order: Order = Raster()
    wiring: Wiring = Shift()
    head: Head = Categorical()
    condition: Condition = Unconditional()
    objective: Objective = NextSet()
    guidance: Guidance = Constant(1.0)
    pick: Pick = Pick()

    @property
    def layout(self) -> Layout:
        """The sites of one image."""
        return self.tokenizer.layout(self.size)

    def network(self, tokenizer: TokenizerModule | None = None) -> Network:
        """The trainable part, with fresh weights. Raises UsageError naming both parts where two do not fit.

        `tokenizer` is the module whose code vectors some parts read (without one: a fresh one); it stays its owner's.
        """
        return Network(self, tokenizer or self.tokenizer.build().eval().requires_grad_(False))

    def build(self) -> Model:
        """The model: network and tokenizer, with fresh weights."""
        from .model import Model

        return Model(self)


class Network(nn.Module):
    """Condition, wiring, backbone and head of a system, working on tokens.

    Legend: B batch, N sites, W width of what the backbone gives.
    """

    def __init__(self, system: System, tokenizer: TokenizerModule) -> None:
        super().__init__()
        layout, unit, dim = system.layout, system.tokenizer.unit, system.backbone.width
        self.system = system
        self.layout = layout
        # the tables of the whole sequence are made here once, so that a wiring that cannot follow the order says so now
        whole = system.wiring.whole(system.order.sizes(layout), system.condition.slots)
        system.backbone.check(whole)
        if (whole.also != NONE).any() and system.backbone.out != 2 * dim:
            raise UsageError(
                f"wiring {type(system.wiring).__name__} predicts by two readouts, but backbone "
                f"{type(system.backbone).__name__} gives {system.backbone.out} numbers a slot, not {2 * dim}; use Twofold"
            )
        if system.backbone.modulated and not system.condition.vector:
            raise UsageError(
                f"backbone {type(system.backbone).__name__} is modulated by a vector, but condition "
                f"{type(system.condition).__name__} gives none; use Label(classes, vector=True)"
            )
        self.condition = system.condition.build(dim)
        self.wiring = system.wiring.build(dim, unit, layout, tokenizer)
        self.backbone = system.backbone.build(layout)
        self.head = system.head.build(system.backbone.out, unit, tokenizer)
        system.objective.check(self)

    @property
    def pools(self) -> bool:
        """Whether several ids may lie at a site, (B, N, m), and count as the mean of their embeddings."""
        return self.wiring.pools

    def forward(self, tokens: Tensor, condition: Tensor, seed: int, progress: float = 1.0) -> dict[str, Tensor]:
        """The objective's figures for tokens (B, N, ...) and prepared conditions; wrappers such as DDP call this."""
        return self.system.objective.loss(self, Tokens(tokens, self.layout), condition, seed, progress)

    def script(self, sizes: tuple[int, ...], device: torch.device) -> Script:
        """Tables and masks for these step sizes, made once."""
        return script(self.system.wiring, sizes, self.system.condition.slots, device)

    def conditioned(self, condition: Tensor, drop: bool = True) -> Conditioning:
        """Embeds prepared conditions; in training mode some are dropped at random unless `drop` is off."""
        found: Conditioning = self.condition(condition, drop and self.training)
        return found

    def plan(self, seed: int, batch: int, device: torch.device, progress: float = 1.0, first: int = 0) -> Plan:
        """The plan of samples first, first + 1, ... whose order is drawn from `seed`, at `progress` of the training."""
        return self.system.order.trained(progress).plan(self.layout, Noise(seed, range(first, first + batch), device))

    # -- hidden vectors of what is predicted

    def hidden(self, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Teacher-forced hidden vectors (B, N, W) by rank: row r is all that predicting rank r may use."""
        if self.system.wiring.afresh:
            return torch.cat([self.hidden_at(k, tokens, conditioning, plan) for k in range(len(plan.sizes))], dim=1)
        return self._called(self.script(plan.sizes, tokens.device).whole, tokens, conditioning, plan, noisy)

    def hidden_at(self, step: int, tokens: Tensor, conditioning: Conditioning, plan: Plan) -> Tensor:
        """Those of one step alone (B, n, W), where every step is encoded afresh."""
        return self._called(self.script(plan.sizes, tokens.device).steps[step], tokens, conditioning, plan)

    def revealed(self, tokens: Tensor, known: Tensor, conditioning: Conditioning) -> Tensor:
        """Hidden vectors (B, N, W) by site, where each sample knows its own sites, (B, N) bool."""
        assert isinstance(self.wiring, MaskedModule), "only wiring Masked lets samples know different sites"
        plan = Plan(torch.arange(self.layout.sites, device=tokens.device), (self.layout.sites,))
        call = self.script(plan.sizes, tokens.device).steps[0]
        x = self.wiring.reveal(conditioning.prefix, tokens, known)
        return self._computed(call, x, conditioning, plan, self.wiring.vectors(call, conditioning.vector, plan))

    def _called(
        self, call: Call, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy | None = None
    ) -> Tensor:
        x = self.wiring.fill(call, conditioning.prefix, tokens, plan, noisy)
        inject = self.wiring.injection(call, tokens, plan)
        return self._computed(
            call, x, conditioning, plan, self.wiring.vectors(call, conditioning.vector, plan, noisy), inject
        )

    def _computed(
        self,
        call: Call,
        x: Tensor,
        conditioning: Conditioning,
        plan: Plan,
        vector: Tensor | None,
        inject: Callable[[int, Tensor], Tensor] | None = None,
    ) -> Tensor:
        valid = conditioning.valid
        if valid is not None:
            valid = nn.functional.pad(valid, (0, x.shape[1] - valid.shape[1]), value=True)
        return call.predicted(self.backbone(call.slots(x, plan, vector, valid, inject)))

    # -- what sites cost

    def site_losses(
        self, tokens: Tokens, condition: Tensor, seed: int, drop: bool = True, progress: float = 1.0
    ) -> Tensor:
        """The head's loss at every site, (B, N); in training mode conditions are dropped at random unless `drop` is off."""
        plan = self.plan(seed, len(tokens), tokens.data.device, progress)
        hidden = self.hidden(tokens.data, self.conditioned(condition, drop), plan)
        return plan.to_sites(self.head.loss(hidden, plan.to_ranks(tokens.data)))

    def site_log_probs(self, tokens: Tokens, condition: Tensor, seed: int, first: int = 0) -> Tensor:
        """ln p of every token given those before it in the order, (B, N) by site; samples are first, first + 1, ... of `seed`."""
        plan = self.plan(seed, len(tokens), tokens.data.device, first=first)
        hidden = self.hidden(tokens.data, self.condition(condition), plan)
        return plan.to_sites(self.head.log_prob(hidden, plan.to_ranks(tokens.data)))
