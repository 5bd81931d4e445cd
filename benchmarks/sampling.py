"""Drawing tokens: `Model.stream`, as `generate` runs it before any pixel is painted, against the loops of `plain`.

All take the likeliest token at every step. Ours in float32 must write what the plain loop writes; of narrower weights the note says
which share of choices stays the same where all that came before is given. LlamaGen also meets Hugging Face's Llama of the same shape,
whose positions are of another kind: it is timed, not compared. The limit of a step is reading every weight of backbone and head once,
and the filled half of the cache on average; or the products.
"""

from __future__ import annotations

import collections
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nextset import Model, Pick, System, spec
from nextset.account import account
from nextset.backbones import Llama
from nextset.decode import Constant
from nextset.errors import NextsetError, UsageError
from nextset.heads import Categorical
from nextset.heads.categorical import CategoricalModule
from nextset.heads.diffusion import Diffusion
from nextset.mixers import Attention
from nextset.nn.diffusion import Strided
from nextset.noise import Noise
from nextset.orders import Plan
from nextset.tokenizers.vq import VQ

from . import MILLISECONDS, Case, Row
from .machine import Limit, Machine
from .plain.llamagen import PlainLlama
from .rounds import alternate, timed
from .variants import variants, weight_bytes

SCALE = 4.0
GREEDY = Pick(temperature=0)
LIGHT = VQ(16384, 8, width=32, multipliers=(1, 1, 1, 1, 1), blocks=1, latent=32)  # not run: it need not weigh anything

Draw = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Contest:
    """A system, how many pictures at once and how often, and who else draws: each makes a way to draw of a model."""

    name: str
    system: System
    batch: int
    rounds: int
    others: Mapping[str, Callable[[Model], Draw]]

    @property
    def case(self) -> str:
        """What is drawn."""
        return f"{self.name}, batch {self.batch}, guidance {SCALE:g}"


def contests(quick: bool) -> Iterator[Contest]:
    """All of them, smallest first."""
    llama = replace(spec("llamagen/b"), tokenizer=LIGHT, head=Categorical(std=0.02))
    if quick:
        llama = replace(llama, size=(128, 128), backbone=Llama(256, 4, Attention(4)))
    name = "4 layers of 256, 64 tokens" if quick else "llamagen/b"
    others = {"plain": plain_llamagen, "transformers": hugging_face}
    for batch, rounds in ((1, 3), (4, 1), (16, 1)):
        yield Contest(name, llama, batch, 1 if quick else rounds, others)
    for name, other, rounds in (
        ("var/d16", plain_var, 2),
        ("arpg/l", plain_arpg, 2),
        ("aim/b", plain_aim, 1),
        ("rar/b", plain_rar, 1),
        ("mar/b", plain_mar, 1),
    ):
        system = spec(f"{name.partition('/')[0]}/tiny" if quick else name)
        if isinstance(system.head, Diffusion):
            system, name = shorter(system), f"{name}, 8 steps of 25 evaluations"
        yield Contest(name, system, 1, 1 if quick else rounds, {"plain": other})


def shorter(system: System) -> System:
    """MAR in 8 steps and 25 evaluations of its denoiser; guidance that rises in the course of them is constant here."""
    assert isinstance(system.head, Diffusion)
    few = Strided(25) if system.layout.sites > 25 else system.head.spacing
    return replace(system, head=replace(system.head, spacing=few), order=replace(system.order, steps=8))  # type: ignore[call-arg]


def rows(machine: Machine, quick: bool, only: str = "") -> Iterator[Row]:
    """One contest after the other."""
    for contest in contests(quick):
        if only in contest.name:
            yield from race(contest, machine)


def race(contest: Contest, machine: Machine) -> Iterator[Row]:
    """All draw the same pictures, by turns. Raises NextsetError where ours in float32 and the plain loop do not."""
    torch.manual_seed(0)
    model = enlivened(contest.system.build().eval())
    labels, ours = torch.arange(contest.batch), variants(model)
    drawn: dict[str, Tensor] = {}

    def keeping(name: str, draw: Draw) -> Callable[[], object]:
        return lambda: drawn.update({name: draw(labels)})

    draws: dict[str, Draw] = {name: drawing(fast) for name, fast in ours.items()}
    for name, make in contest.others.items():
        try:
            draws[name] = make(model)
        except UsageError as error:
            print(f"benchmarks: {contest.case}: {name} is left out: {error}", file=sys.stderr)
    draws[next(iter(draws))](labels[:1])  # the first to run pays for what all share
    seconds = alternate({n: timed(keeping(n, draw)) for n, draw in draws.items()}, contest.rounds, contest.case)
    agree(contest.case, drawn["float32"], drawn["plain"])
    tokens = contest.batch * contest.system.layout.sites
    for variant, fast in ours.items():
        note = fidelity(model, fast, labels, drawn["float32"]) if variant != "float32" else ""
        limit, share = least(fast, variant, contest, machine, statistics.median(seconds[variant]))
        for against in (name for name in contest.others if name in seconds):
            case = Case(
                "sampling", contest.case, MILLISECONDS, variant, against, ", ".join(filter(None, (note, share)))
            )
            yield Row.of(case, tokens, seconds[variant], seconds[against], limit)


def enlivened(model: Model) -> Model:
    """With random numbers in every weight that is zero at first, so that tokens differ."""
    for weight in model.network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.02)
    return model


def drawing(model: Model) -> Draw:
    """The likeliest guided tokens (B, N, ...)."""

    def draw(labels: Tensor) -> Tensor:
        (last,) = collections.deque(model.stream(labels, guidance=Constant(SCALE), pick=GREEDY), maxlen=1)
        return last.decoding.tokens.data

    return draw


def agree(case: str, ours: Tensor, theirs: Tensor) -> None:
    """Raises NextsetError where tokens differ; vectors may by rounding."""
    same = torch.allclose(ours, theirs, atol=1e-2) if ours.is_floating_point() else torch.equal(ours, theirs)
    if not same:
        raise NextsetError(f"{case}: the plain loop writes other tokens; nothing is reported")


@torch.inference_mode()
def fidelity(exact: Model, rough: Model, labels: Tensor, tokens: Tensor) -> str:
    """How near the narrower network is, given the tokens so far: the share of choices that stay, and the error of logits."""
    found = []
    for network in (exact.network, rough.network):
        plan = network.plan(0, len(labels), tokens.device)
        condition = network.condition(network.condition.prepare(labels, None, tokens.device))
        hidden = network.hidden(tokens, condition, plan)
        logits = network.head.logits(hidden) if isinstance(network.head, CategoricalModule) else hidden
        found.append(logits.float())
    error = float((found[1] - found[0]).norm() / found[0].norm())
    if not isinstance(exact.network.head, CategoricalModule):
        return f"hidden vectors {error:.1%} off"
    same = (found[0].argmax(-1) == found[1].argmax(-1)).float().mean()
    return f"{same:.1%} of choices stay, logits {error:.1%} off"


def least(model: Model, variant: str, contest: Contest, machine: Machine, seconds: float) -> tuple[Limit, str]:
    """Of drawing a whole batch; and which share of the rate of products was reached."""
    network, costs, halves = model.network, account(contest.system), 2 * contest.batch
    read = costs.steps * (weight_bytes(network.backbone, network.head) + halves * costs.cache_bytes_float32 / 2)
    products = halves * costs.multiply_adds
    share = products / seconds / machine.multiply_adds_per_second
    return machine.limit(read, products, variant), f"{share:.0%} of the float32 rate of products"


# -- the others


def plain_llamagen(model: Model) -> Draw:
    """A full-length cache and a row of a mask a step."""
    plain = PlainLlama(model.network)
    return lambda labels: plain.generate(labels, SCALE)


def hugging_face(model: Model) -> Draw:
    """transformers' Llama with its static cache."""
    from .plain.hugging_face import HuggingFaceLlama

    other = HuggingFaceLlama(model.network)
    return lambda labels: other.generate(labels, SCALE)


def plain_var(model: Model) -> Draw:
    """Growing caches."""
    from .plain.var import PlainVar

    plain = PlainVar(model.network)
    return lambda labels: plain.generate(labels, SCALE)


def plain_rar(model: Model) -> Draw:
    """Tables of positions made anew in every step."""
    from .plain.rar import PlainRar

    plain = PlainRar(model.network)
    return lambda labels: plain.generate(labels, SCALE)


def plain_aim(model: Model) -> Draw:
    """Two states a layer."""
    from .plain.aim import PlainAim

    plain = PlainAim(model.network)
    return lambda labels: plain.generate(labels, SCALE)


def plain_arpg(model: Model) -> Draw:
    """Two growing caches, on the same random orders."""
    from .plain.arpg import PlainArpg

    plain = PlainArpg(model.network)

    def draw(labels: Tensor) -> Tensor:
        plan, _ = chance(model, len(labels))
        return plain.generate(labels, SCALE, plan)

    return draw


def plain_mar(model: Model) -> Draw:
    """No cache at all, on the same random orders and noise."""
    from .plain.mar import PlainMar

    plain = PlainMar(model.network)

    def draw(labels: Tensor) -> Tensor:
        plan, drawn = chance(model, len(labels))
        return plain.generate(labels, SCALE, plan, drawn)

    return draw


def chance(model: Model, batch: int) -> tuple[Plan, Tensor]:
    """The plan and the numbers by rank that `Model.stream` draws for samples 0, 1, ... of seed 0."""
    system, noise = model.system, Noise(0, range(batch), model.device)
    plan = system.order.plan(system.layout, noise)
    return plan, model.network.head.draw(noise, system.layout.sites)
