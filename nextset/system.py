"""A system: what a paper decided, as data. The one place where parts meet is `System.network`.

A user edits one with `dataclasses.replace`, prints it, compares two with `diff`, and builds the model with `build`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .backbones import Backbone
from .conditions import Condition, Conditioning, Unconditional
from .decode import Constant, Guidance, Pick
from .errors import UsageError
from .heads import Categorical, Head, Noisy
from .layout import Layout, Tokens
from .mixers import EXACT, Keeping
from .noise import Noise
from .objectives import NextSet, Objective
from .orders import Adaptive, Order, Plan, Raster
from .slots import NONE, PREFIX, Vectors
from .spec import Spec
from .tokenizers.base import Tokenizer, TokenizerModule
from .wirings import Call, Masked, Script, Shift, Wiring
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

    def sized(self, size: tuple[int, int]) -> System:
        """The system for images of another (height, width); whether its weights allow that, `Model.under` says."""
        return replace(self, size=size, tokenizer=self.tokenizer.at(size))

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
    """Condition, wiring, backbone and head of a system, working on tokens; decoding keeps the past as `keeping` says.

    Legend: B batch, N sites, W width of what the backbone gives.
    """

    keeping: Keeping = EXACT

    def __init__(self, system: System, tokenizer: TokenizerModule) -> None:
        super().__init__()
        layout, unit, dim = system.layout, system.tokenizer.unit, system.backbone.width
        self.system = system
        self.layout = layout
        _check_parts(system)
        # the tables of the whole sequence are made here once, so that parts that cannot follow the order say so now
        self._fitting: set[tuple[int, ...]] = set()
        self._check(system.order.sizes(layout))
        system.wiring.check(system.order.sizes(layout), layout)
        self.condition = system.condition.build(dim)
        self.wiring = system.wiring.build(dim, unit, layout, tokenizer)
        self.backbone = system.backbone.build(layout)
        self.head = system.head.build(system.backbone.out, unit, tokenizer)
        self.head.tie(self.wiring.table)
        system.objective.check(self)

    @property
    def pools(self) -> bool:
        """Whether several ids may lie at a site, (B, N, m), and count as the mean of their embeddings."""
        return self.wiring.pools

    def forward(
        self, tokens: Tensor, condition: Tensor, seed: int, progress: float = 1.0, layout: Layout | None = None
    ) -> dict[str, Tensor]:
        """The objective's figures for tokens (B, N, ...) and prepared conditions; wrappers such as DDP call this.

        `layout` is that of the tokens, where it is not the system's own (`practised`).
        """
        return self.system.objective.loss(self, Tokens(tokens, layout or self.layout), condition, seed, progress)

    def practised(self, seed: int) -> Layout:
        """The layout of a batch: in training what the order draws from `seed`, else the system's own."""
        return self.system.order.practised(self.layout, seed) if self.training else self.layout

    def script(self, sizes: tuple[int, ...], device: torch.device) -> Script:
        """Tables and masks for these step sizes, made once. Raises UsageError where wiring and backbone cannot follow them."""
        self._check(sizes)
        return script(self.system.wiring, sizes, self.system.condition.slots, device)

    def _check(self, sizes: tuple[int, ...]) -> None:
        if sizes in self._fitting:
            return
        wiring, backbone = self.system.wiring, self.system.backbone
        whole = wiring.whole(sizes, self.system.condition.slots)
        two = bool((whole.also != NONE).any())
        if two and backbone.out != 2 * backbone.width:
            raise UsageError(
                f"wiring {type(wiring).__name__} predicts by two readouts, but backbone {type(backbone).__name__} gives "
                f"{backbone.out} numbers a slot, not {2 * backbone.width}; use Twofold"
            )
        try:
            backbone.check(whole)
        except UsageError as error:
            raise UsageError(
                f"wiring {type(wiring).__name__} and backbone {type(backbone).__name__} do not fit: {error}"
            ) from error
        self._fitting.add(sizes)

    def conditioned(self, condition: Tensor, drop: bool = True) -> Conditioning:
        """Embeds prepared conditions; in training mode some are dropped at random unless `drop` is off."""
        found: Conditioning = self.condition(condition, drop and self.training)
        return found

    def plan(
        self,
        seed: int,
        batch: int,
        device: torch.device,
        progress: float = 1.0,
        first: int = 0,
        layout: Layout | None = None,
    ) -> Plan:
        """The plan of samples first, first + 1, ... whose order is drawn from `seed`, at `progress` of the training."""
        noise = Noise(seed, range(first, first + batch), device)
        return self.system.order.trained(progress).plan(layout or self.layout, noise)

    # -- hidden vectors of what is predicted

    def hidden(self, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Teacher-forced hidden vectors (B, N, W) by rank: row r is all that predicting rank r may use."""
        if self.system.wiring.afresh:
            return torch.cat([self.hidden_at(k, tokens, conditioning, plan) for k in range(len(plan.sizes))], dim=1)
        return self._called(self.script(plan.sizes, tokens.device).whole, tokens, conditioning, plan, noisy)

    def hidden_with_prefix(self, tokens: Tensor, conditioning: Conditioning, plan: Plan) -> tuple[Tensor, Tensor]:
        """The hidden vectors of the condition slots (B, P, W), and `hidden`, from one pass. Raises UsageError where there are several."""
        wiring = self.system.wiring
        if wiring.afresh:
            raise UsageError(f"wiring {type(wiring).__name__} encodes condition slots anew in every step")
        call = self.script(plan.sizes, tokens.device).whole
        every = self._every(call, tokens, conditioning, plan)
        return every[:, torch.as_tensor(call.table.holds == PREFIX, device=every.device)], call.predicted(every)

    def hidden_at(self, step: int, tokens: Tensor, conditioning: Conditioning, plan: Plan) -> Tensor:
        """Those of one step alone (B, n, W), where every step is encoded afresh."""
        return self._called(self.script(plan.sizes, tokens.device).steps[step], tokens, conditioning, plan)

    def noised(self, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy) -> Tensor:
        """Hidden vectors (B, N, W) by rank where steps see earlier ones as noisy as they are; of `tokens` nothing is read."""
        return self._called(self.script(plan.sizes, tokens.device).noised, tokens, conditioning, plan, noisy)

    def revealed(self, tokens: Tensor, known: Tensor, conditioning: Conditioning) -> Tensor:
        """Hidden vectors (B, N, W) by site, where each sample knows its own sites, (B, N) bool."""
        assert isinstance(self.wiring, MaskedModule), "only wiring Masked lets samples know different sites"
        plan = Plan(torch.arange(self.layout.sites, device=tokens.device), (self.layout.sites,))
        call = self.script(plan.sizes, tokens.device).steps[0]
        x = self.wiring.reveal(conditioning.prefix, tokens, known)
        vector = self.wiring.vectors(call, conditioning.vector, plan)
        return call.predicted(self._computed(call, x, conditioning, plan, vector))

    def _called(
        self, call: Call, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy | None = None
    ) -> Tensor:
        return call.predicted(self._every(call, tokens, conditioning, plan, noisy))

    def _every(
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
        vector: Tensor | Vectors | None,
        inject: Callable[[int, Tensor], Tensor] | None = None,
    ) -> Tensor:
        valid = conditioning.valid
        if valid is not None:
            lead = self.system.wiring.lead
            valid = nn.functional.pad(valid, (lead, x.shape[1] - valid.shape[1] - lead), value=True)
        found: Tensor = self.backbone(call.slots(x, plan, vector, valid, inject, conditioning.source))
        return found

    # -- what sites cost

    def site_losses(
        self, tokens: Tokens, condition: Tensor, seed: int, drop: bool = True, progress: float = 1.0
    ) -> Tensor:
        """The head's loss at every site, (B, N); in training mode conditions are dropped at random unless `drop` is off."""
        plan = self.plan(seed, len(tokens), tokens.data.device, progress, layout=tokens.layout)
        hidden = self.hidden(tokens.data, self.conditioned(condition, drop), plan)
        return plan.to_sites(self.head.loss(hidden, plan.to_ranks(tokens.data)))

    def site_log_probs(self, tokens: Tokens, condition: Tensor, seed: int, first: int = 0) -> Tensor:
        """ln p of every token given those before it in the order, (B, N) by site; samples are first, first + 1, ... of `seed`."""
        plan = self.plan(seed, len(tokens), tokens.data.device, first=first)
        hidden = self.hidden(tokens.data, self.condition(condition), plan)
        return plan.to_sites(self.head.log_prob(hidden, plan.to_ranks(tokens.data)))


def _check_parts(system: System) -> None:
    """Raises UsageError, naming both, where one part needs of another what that does not give."""
    order, wiring, backbone, objective = system.order, system.wiring, system.backbone, system.objective
    parts: tuple[Spec, ...] = (order, wiring, backbone, objective, system.condition)
    said = {part: type(part).__name__ for part in parts}
    if backbone.modulated and not system.condition.vector:
        raise UsageError(
            f"backbone {said[backbone]} is modulated by a vector, but condition {said[system.condition]} gives none; "
            "use Label(classes, vector=True)"
        )
    if backbone.listens and not system.condition.heard:
        raise UsageError(
            f"backbone {said[backbone]} reads the condition by cross-attention, but condition {said[system.condition]} gives nothing "
            "to read; use Attended, or a backbone without a reader"
        )
    if system.condition.heard and not backbone.listens:
        raise UsageError(
            f"condition {said[system.condition]} is to be read by cross-attention, but backbone {said[backbone]} has none; use "
            "Transformer(reader=Reader(heads, Layer())), or a condition of slots such as Text"
        )
    unit = system.tokenizer.unit
    if backbone.readouts != system.head.readouts(unit):
        raise UsageError(
            f"head {type(system.head).__name__} needs {system.head.readouts(unit)} readouts for {unit}, but backbone "
            f"{said[backbone]} has {backbone.readouts}"
        )
    if wiring.modulates and not backbone.modulated:
        raise UsageError(
            f"wiring {said[wiring]} tells slots their steps by a vector that backbone {said[backbone]} does not use; "
            "use a modulated one, such as Transformer(modulation=Each())"
        )
    if objective.afresh and not wiring.afresh:
        raise UsageError(
            f"objective {said[objective]} trains on single steps, but wiring {said[wiring]} does not encode them afresh; "
            "use wiring Masked"
        )
    masks = {"order": (order, isinstance(order, Adaptive)), "objective": (objective, objective.reveals)}
    for place, (part, needed) in masks.items():
        if needed and not isinstance(wiring, Masked):
            raise UsageError(
                f"{place} {said[part]} lets each sample know sites of its own, but wiring {said[wiring]} cannot; use Masked()"
            )
