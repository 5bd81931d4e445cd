"""A system: what a paper decided, as data. The one place where parts meet is `System.network`.

A user edits one with `dataclasses.replace`, prints it, compares two with `diff`, and builds the model with `build`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .backbones import Backbone
from .conditions import Condition, Conditioning, Unconditional
from .decode import Constant, Guidance, Pick
from .heads import Categorical, Head
from .layout import Layout, Tokens
from .noise import Noise
from .objectives import NextSet, Objective
from .orders import Order, Plan, Raster
from .spec import Spec
from .tokenizers.base import Tokenizer
from .wirings import Script, Shift, Wiring
from .wirings.base import script

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

    def network(self) -> Network:
        """The trainable part, with fresh weights. Raises UsageError naming both parts where two do not fit."""
        return Network(self)

    def build(self) -> Model:
        """The model: network and tokenizer, with fresh weights."""
        from .model import Model

        return Model(self)


class Network(nn.Module):
    """Condition, wiring, backbone and head of a system, working on tokens.

    Legend: B batch, N sites, D width.
    """

    def __init__(self, system: System) -> None:
        super().__init__()
        layout, unit, dim = system.layout, system.tokenizer.unit, system.backbone.width
        self.system = system
        self.layout = layout
        # the tables of the whole sequence are made here once, so that a wiring that cannot follow the order says so now
        system.wiring.whole(system.order.sizes(layout), system.condition.slots)
        self.condition = system.condition.build(dim)
        self.wiring = system.wiring.build(dim, unit, layout)
        self.backbone = system.backbone.build(layout)
        self.head = system.head.build(dim, unit)

    def forward(self, tokens: Tensor, condition: Tensor, seed: int) -> dict[str, Tensor]:
        """The objective's figures for tokens (B, N, ...) and prepared conditions; wrappers such as DDP call this."""
        return self.system.objective.loss(self, Tokens(tokens, self.layout), condition, seed)

    def script(self, sizes: tuple[int, ...], device: torch.device) -> Script:
        """Tables and masks for these step sizes, made once."""
        return script(self.system.wiring, sizes, self.system.condition.slots, device)

    def plan(self, seed: int, batch: int, device: torch.device) -> Plan:
        """The plan of a batch whose order is drawn from `seed`."""
        return self.system.order.trained.plan(self.layout, Noise(seed, range(batch), device))

    def hidden(self, tokens: Tensor, conditioning: Conditioning, plan: Plan) -> Tensor:
        """Teacher-forced hidden vectors (B, N, D) by rank: row r is all that predicting rank r may use."""
        call = self.script(plan.sizes, tokens.device).whole
        x = self.wiring.fill(call, conditioning.prefix, tokens, plan)
        valid = conditioning.valid
        if valid is not None:
            valid = nn.functional.pad(valid, (0, x.shape[1] - valid.shape[1]), value=True)
        return self.backbone(call.slots(x, plan, conditioning.vector, valid))[:, call.predictors]

    def site_losses(self, tokens: Tokens, condition: Tensor, seed: int, drop: bool = True) -> Tensor:
        """The head's loss at every site, (B, N); in training mode conditions are dropped at random unless `drop` is off."""
        plan = self.plan(seed, len(tokens), tokens.data.device)
        hidden = self.hidden(tokens.data, self.condition(condition, drop and self.training), plan)
        return plan.to_sites(self.head.loss(hidden, plan.to_ranks(tokens.data)))

    def site_log_probs(self, tokens: Tokens, condition: Tensor, seed: int) -> Tensor:
        """ln p of every token given those before it in the order, (B, N) by site."""
        plan = self.plan(seed, len(tokens), tokens.data.device)
        hidden = self.hidden(tokens.data, self.condition(condition), plan)
        return plan.to_sites(self.head.log_prob(hidden, plan.to_ranks(tokens.data)))
