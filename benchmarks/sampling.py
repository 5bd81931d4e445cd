"""Drawing tokens: `Model.stream`, as `generate` runs it before any pixel is painted, against the loops of `plain`.

All take the likeliest token at every step, under the guidance of the system; MAR, which draws vectors, has the same noise. Ours in
float32 must give what the plain loop gives; of narrower weights the note says which share of choices stays the same where all that came
before is given. LlamaGen also meets Hugging Face's Llama of the same shape, whose positions are of another kind: it is timed, not
compared. The limit of a step is reading every weight of backbone and head once (a head that is a small network as often as it is
evaluated; AdaLN of the class alone once a picture) and what there is of the cache; or the products.
"""

from __future__ import annotations

import functools
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nextset import Model, System
from nextset.account import account, caching
from nextset.backbones import Llama
from nextset.errors import NextsetError
from nextset.heads.categorical import CategoricalModule
from nextset.heads.diffusion import Diffusion
from nextset.mixers import EXACT, Attention
from nextset.nn.borrowed import Borrowed

from . import MILLISECONDS, Case, Row
from .machine import Limit, Machine
from .rounds import alternate, timed
from .subjects import SEED, Asked, Draw, enlivened, others, subject
from .variants import VARIANTS, variants, weight_bytes

SCALE = 4.0  # of LlamaGen, as its authors draw pictures to look at
TOLERANCE = 1e-3  # of vectors, relative to all of them: a chain of denoisings magnifies the rounding of each
ROUNDS, SECONDS = 5, 10.0  # at most, of a contest; a first round is always run
TIE = 1e-3  # of the deviation of logits over the vocabulary; roundings are a hundredth of that, and best and second far more apart
FEW = 4  # pictures tell how near narrower weights are
LLAMAGEN = ("plain", "transformers")
costs_of = functools.lru_cache(maxsize=16)(account)


@dataclass(frozen=True)
class Contest:
    """A system, what is asked of it, who else draws, how many seconds the rounds may take together, and the ways of ours."""

    name: str
    system: System
    asked: Asked
    others: tuple[str, ...] = ("plain",)
    seconds: float = SECONDS
    ways: tuple[str, ...] = tuple(VARIANTS)

    @property
    def case(self) -> str:
        """What is drawn."""
        said = f"{self.name}, batch {self.asked.batch}, guidance {self.asked.top(self.system):g}"
        whole = len(self.system.order.sizes(self.system.layout))
        return said if self.asked.steps is None else f"{said}, first {self.asked.steps} of {whole} steps"


def contests(quick: bool) -> Iterator[Contest]:
    """All of them, smallest first."""
    if quick:
        llama = replace(subject("llamagen/b"), size=(128, 128), backbone=Llama(256, 4, Attention(4)))
        yield Contest("llamagen, 4 layers of 256, 64 tokens", llama, Asked(2, SCALE), LLAMAGEN, 0.0)
        yield Contest("llamagen, 4 layers of 256, 64 tokens", llama, Asked(1, SCALE, 8), LLAMAGEN, 0.0)
    else:
        for batch, first, seconds in ((1, 96, 20.0), (4, 48, 15.0), (16, 24, 15.0)):
            yield Contest("llamagen/b", subject("llamagen/b"), Asked(batch, SCALE, first), LLAMAGEN, seconds)
    for name, steps in (("var/d16", None), ("mar/b", None), ("rar/b", 32), ("arpg/l", 32), ("aim/b", 32)):
        name = f"{name.partition('/')[0]}/digits" if quick else name
        system = subject(name)
        if isinstance(system.head, Diffusion):
            evaluations = system.head.spacing.count
            name = f"{name}, {len(system.order.sizes(system.layout))} steps of {evaluations} evaluations"
        ways = tuple(
            way for way in VARIANTS if steps or way != "float16"
        )  # products are float32's, only weights are read faster
        asked = Asked(1, None, 8 if quick and steps else steps)
        yield Contest(name, system, asked, seconds=0.0 if quick else SECONDS, ways=ways)


def rows(machine: Machine, quick: bool, only: str = "") -> Iterator[Row]:
    """One contest after the other."""
    for contest in contests(quick):
        if only in contest.case:
            yield from race(contest, machine)


def race(contest: Contest, machine: Machine) -> Iterator[Row]:
    """All draw the same pictures, by turns. Raises NextsetError where ours in float32 and the plain loop do not."""
    asked, case = contest.asked, contest.case
    model = enlivened(contest.system)
    ours, (rivals, absent) = variants(model, contest.ways), others(model, asked, contest.others)
    for name, reason in absent.items():
        print(f"benchmarks: {case}: {name} is left out: {reason}", file=sys.stderr)
    seconds, drawn = timed_rounds({name: asked.ours(fast) for name, fast in ours.items()} | rivals, contest)
    parted = agree(contest, model, drawn["float32"], drawn["plain"])
    tokens = count_known(contest)
    few = replace(asked, batch=min(asked.batch, FEW))
    exact = functools.cache(lambda: guided(model, few, drawn["float32"][:FEW]))
    for variant, fast in ours.items():
        limit, share = least(fast, variant, contest, machine, statistics.median(seconds[variant]))
        near = "" if variant == "float32" else fidelity(exact, fast, few, drawn["float32"], drawn[variant])
        note = ", ".join(filter(None, (parted, near, share, f"{len(seconds[variant])} rounds")))
        for against in rivals:
            row = Case("sampling", case, MILLISECONDS, variant, against, note)
            yield Row.of(row, tokens, seconds[variant], seconds[against], limit)


def timed_rounds(draws: Mapping[str, Draw], contest: Contest) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    """Seconds per round, and what each drew in the last. Before the first everybody takes two steps: memory and kernels are found then."""
    drawn: dict[str, Tensor] = {}

    def keeping(name: str, draw: Draw) -> Callable[[], object]:
        return lambda: drawn.update({name: draw(contest.asked.steps).clone()})

    for draw in draws.values():
        draw(2)
    runs = {name: timed(keeping(name, draw)) for name, draw in draws.items()}
    return alternate(runs, ROUNDS, contest.case, contest.seconds), drawn


def count_known(contest: Contest) -> int:
    """Sites that are drawn, of all pictures."""
    return contest.asked.batch * sum(contest.system.order.sizes(contest.system.layout)[: contest.asked.steps])


def agree(contest: Contest, model: Model, ours: Tensor, theirs: Tensor) -> str:
    """Where some samples part, that they do. Raises NextsetError where tokens differ by more than rounding, or vectors do.

    A choice between two tokens may turn on a rounding, and what follows is then another picture, as good for timing. So where samples
    first part, in the order of drawing, the other's choice must be within `TIE` deviations of the best logit, given the same past.
    """
    wrong = NextsetError(f"{contest.case}: the plain loop writes other tokens; nothing is reported")
    if ours.is_floating_point():
        if not distance(theirs, ours) < TOLERANCE:
            raise wrong
        return ""
    if torch.equal(ours, theirs):
        return ""
    logits = guided(model, contest.asked, theirs)
    plan = model.network.plan(SEED, len(ours), ours.device)
    own, other = (plan.to_ranks(tokens)[:, : logits.shape[1]] for tokens in (ours, theirs))
    for sample in (own != other).any(1).nonzero()[:, 0].tolist():
        rank = int((own[sample] != other[sample]).nonzero()[0])
        told, chosen = logits[sample, rank], torch.stack([own[sample, rank], other[sample, rank]])
        if told.max() - told[chosen].min() > TIE * told.std():
            raise wrong
    parted = int((own != other).any(1).sum())
    return f"{parted} of {len(own)} part where two tokens tie"


def distance(rough: Tensor, exact: Tensor) -> float:
    """The length of the difference relative to that of `exact`."""
    return float((rough - exact).norm() / exact.norm())


@torch.inference_mode()
def fidelity(exact: Callable[[], Tensor], rough: Model, few: Asked, tokens: Tensor, drawn: Tensor) -> str:
    """How near the narrower network is, given the tokens so far: the share of choices that stay, and the error of logits.

    Both of the guided distribution, over the sites that were drawn; `exact` gives that of full weights. Of vectors, how far off those
    are that it has `drawn`.
    """
    if not isinstance(rough.network.head, CategoricalModule):
        return f"vectors {distance(drawn, tokens):.2%} off"
    told, true = guided(rough, few, tokens[:FEW]), exact()
    same = (told.argmax(-1) == true.argmax(-1)).float().mean()
    return f"{same:.1%} of choices stay, logits {distance(told, true):.2%} off"


@torch.inference_mode()
def guided(model: Model, asked: Asked, tokens: Tensor) -> Tensor:
    """Guided logits of what was drawn, by rank, (B, n, V), given the tokens (B, N) before."""
    network, system = model.network, model.system
    plan = network.plan(SEED, asked.batch, tokens.device)
    plan = replace(plan, sizes=system.order.sizes(system.layout))
    condition = network.condition(network.condition.prepare(asked.labels, None, tokens.device))
    null = network.condition.null(asked.labels)
    head, end = network.head, plan.starts[len(plan.sizes) if asked.steps is None else asked.steps]
    assert isinstance(head, CategoricalModule)
    logits, other = (head.logits(network.hidden(tokens, part, plan)[:, :end]).float() for part in (condition, null))
    scales = torch.tensor(asked.guidance(system).scales(plan.sizes)).repeat_interleave(torch.tensor(plan.sizes))
    return torch.lerp(other, logits, scales[:end, None].expand_as(other))


def least(model: Model, variant: str, contest: Contest, machine: Machine, seconds: float) -> tuple[Limit, str]:
    """Of drawing a whole batch; and which share of the rate of products was reached.

    Where only the first steps are drawn they have their share of the products, though late steps have a few more.
    """
    network, system, halves = model.network, contest.system, 2 * contest.asked.batch
    sizes, costs = system.order.sizes(system.layout), costs_of(system)
    steps = contest.asked.steps or len(sizes)
    cache = sum(caching(system, EXACT, next(network.condition.parameters()).dtype).reads[:steps])
    often = system.head.spacing.count if isinstance(system.head, Diffusion) else 1
    once = getattr(network.backbone, "modulation", None) if not system.wiring.modulates else None
    rare = weight_bytes(once) if once is not None else 0
    tied = isinstance(getattr(network.head, "project", None), Borrowed)
    table = weight_bytes(network.wiring) if tied else 0
    each = weight_bytes(network.backbone) - rare + often * weight_bytes(network.head) + table
    products = halves * costs.multiply_adds * sum(sizes[:steps]) / sum(sizes)
    share = products / seconds / machine.multiply_adds_per_second
    limit = machine.limit(rare + steps * each + halves * cache, products, variant)
    return limit, f"{share:.0%} of the float32 rate of products"
