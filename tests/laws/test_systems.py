"""Every system of the catalogue obeys every law that applies to it. A new system is tested by existing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, System, UsageError, catalogue
from nextset.layout import Continuous, Tokens
from nextset.slots import NONE

from .toys import SYSTEMS, all_images, conditions, lively, random_tokens, tiny, toy

pytestmark = pytest.mark.parametrize("name", SYSTEMS)


class Recorder:
    """A picker that notes the logits it is given."""

    temperature = 1.0

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        self.seen.append(logits)
        return logits.argmax(-1)


def teacher_forced(model: Model, tokens: Tensor, condition: Tensor, scale: float) -> Tensor:
    """Guided logits (B, N, V) of all sites in one pass, by rank."""
    network = model.network
    plan = network.plan(0, len(tokens), tokens.device)
    hidden = network.hidden(tokens, network.condition(condition), plan)
    if scale == 1:
        return network.head.logits(hidden)
    return network.head.logits(hidden, network.hidden(tokens, network.condition.null(condition), plan), scale)


def test_partition(name: str) -> None:
    """Law 1: a plan names every site once."""
    system = tiny(name)
    plan = system.network().plan(3, 4, torch.device("cpu"))
    for row in plan.perm.reshape(-1, system.layout.sites):
        assert sorted(row.tolist()) == list(range(system.layout.sites))
    assert plan.sizes == system.order.sizes(system.layout)


def test_causality_by_gradient(name: str) -> None:
    """Law 2: in float64 a prediction's gradient is exactly zero at tokens of its own step and later, and not zero at earlier ones."""
    model = lively(tiny(name), double=True)
    network, filled = model.network, []
    tokens, condition = random_tokens(model, 2), conditions(model, 2)
    plan = network.plan(0, 2, tokens.device)
    call = network.script(plan.sizes, tokens.device).whole
    fill = network.wiring.fill

    def watched(*args: object) -> Tensor:
        filled.append(fill(*args).detach().requires_grad_())
        return filled[-1]

    network.wiring.fill = watched  # type: ignore[method-assign]
    hidden = network.hidden(tokens, network.condition(condition), plan)
    starts, holds = plan.starts, torch.as_tensor(call.table.holds)
    for step in range(len(plan.sizes)):
        for rank in range(starts[step], starts[step + 1]):
            (gradient,) = torch.autograd.grad(hidden[:, rank].sin().sum(), filled[0], retain_graph=True)
            size = gradient.abs().sum((0, 2))
            assert size[holds >= starts[step]].eq(0).all()
            assert size[(holds >= 0) & (holds < starts[step])].gt(0).all()


def test_causality_by_poison(name: str) -> None:
    """Law 2 again: changing every token from some step on leaves earlier predictions, and that step's, bit for bit."""
    model = lively(tiny(name), double=True)
    tokens, condition = random_tokens(model, 2), conditions(model, 2)
    network, plan = model.network, model.network.plan(0, 2, tokens.device)
    clean = network.hidden(tokens, network.condition(condition), plan)
    for start in plan.starts[:-1]:
        ranks = plan.to_ranks(tokens)
        ranks[:, start:] = plan.to_ranks(random_tokens(model, 2, seed=start + 1))[:, start:]
        poisoned = network.hidden(plan.to_sites(ranks), network.condition(condition), plan)
        assert torch.equal(poisoned[:, : start + 1], clean[:, : start + 1])


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_parallel_is_incremental(name: str, scale: float) -> None:
    """Law 3: teacher-forced logits equal step-by-step cached ones, for every row, with and without guidance."""
    model = lively(tiny(name))
    if isinstance(model.system.tokenizer.unit, Continuous):
        pytest.skip("logits exist only for discrete tokens")
    tokens, condition = random_tokens(model, 3), conditions(model, 3)
    images = model.decode(Tokens(tokens, model.system.layout))
    recorder = Recorder()
    with torch.no_grad():
        expected = teacher_forced(model, tokens, condition, scale)
    nothing = torch.zeros(model.system.size, dtype=torch.bool)
    model.edit(images, nothing, condition, guidance=scale, pick=recorder)  # type: ignore[arg-type]
    stepwise = torch.cat(recorder.seen, dim=1)
    assert torch.allclose(stepwise, expected, rtol=1e-5, atol=1e-5 * expected.abs().max())


def test_whole_and_steps_agree(name: str) -> None:
    """Law 3, on the tables: what the steps predict, in order, is what the whole sequence predicts."""
    system = tiny(name)
    sizes, prefix = system.order.sizes(system.layout), system.condition.slots
    whole = system.wiring.whole(sizes, prefix)
    steps = [system.wiring.step(k, sizes, prefix) for k in range(len(sizes))]
    assert sorted(whole.predicts[whole.predicts != NONE]) == list(range(sum(sizes)))
    ranks = [sorted(table.predicts[table.predicts != NONE]) for table in steps]
    starts = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
    assert ranks == [list(range(a, b)) for a, b in zip(starts, starts[1:], strict=False)]


def test_normalised(name: str) -> None:
    """Law 4: the probabilities of all 81 images sum to 1, for every class."""
    model = lively(toy(name), double=True)
    images = Tokens(all_images(), model.system.layout)
    for row in conditions(model, 2):
        total = model.log_prob(images, row.expand(81, *row.shape)).exp().sum()
        assert abs(total - 1) < 1e-9  # float64 sums of 81 terms


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_sampling_is_the_model(name: str, scale: float) -> None:
    """Law 5: `generate` draws the enumerated (guided) distribution; chi-square at a fixed seed."""
    model, count = lively(toy(name)), 4000
    condition = conditions(model, 2)[1:]
    with torch.no_grad():
        logits = teacher_forced(model, all_images(), condition.expand(81, *condition.shape[1:]), scale).log_softmax(-1)
        plan = model.network.plan(0, 81, torch.device("cpu"))
        expected = logits.gather(-1, plan.to_ranks(all_images())[..., None])[..., 0].sum(1).exp() * count
    images = model.generate(condition.expand(count, *condition.shape[1:]), seed=5, guidance=scale, pick=Pick())
    place = 3 ** torch.arange(3, -1, -1)
    counts = torch.bincount((model.encode(images).data * place).sum(1), minlength=81).float()
    likely = expected >= 5  # the usual rule for chi-square cells; the rest are pooled
    observed = torch.cat([counts[likely], counts[~likely].sum()[None]])
    wanted = torch.cat([expected[likely], expected[~likely].sum()[None]])
    statistic, freedom = ((observed - wanted) ** 2 / wanted.clamp(min=1e-3)).sum(), max(int(likely.sum()), 1)
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5 + 4  # more than 4 sigma: p < 1e-3 at these sizes
    assert freedom >= 5, "the toy distribution is too peaked for the test to mean anything"


def test_reproducible(name: str) -> None:
    """Law 6: a sample is the same picture alone, in a batch, or in another place of the batch."""
    model = lively(tiny(name))
    condition = conditions(model, 5)
    together = model.generate(condition, seed=7)
    assert torch.equal(model.generate(condition, seed=7), together)
    assert torch.equal(model.generate(condition[3:], seed=7, first=3), together[3:])
    assert not torch.equal(model.generate(condition, seed=8), together)


def test_stream_ends_in_generate(name: str) -> None:
    """Streaming knows more sites at every step, and ends with the picture that `generate` gives."""
    model = lively(tiny(name))
    known, partial = 0, None
    for partial in model.stream(conditions(model, 2), seed=1):
        now = int(partial.decoding.known.sum())
        assert now > known
        known = now
    assert partial is not None
    assert partial.step == partial.steps
    assert torch.equal(partial.images(), model.generate(conditions(model, 2), seed=1))


@pytest.mark.filterwarnings("ignore:.*kept sites")
def test_edit_keeps_what_it_is_given(name: str) -> None:
    """Outside the mask nothing changes; with everything masked the result is a fresh sample."""
    model = lively(tiny(name))
    condition, (height, width) = conditions(model, 2), model.system.size
    images = model.generate(condition, seed=1)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[height // 2 :] = True
    edited = model.edit(images, mask, condition, seed=2)
    assert torch.equal(edited[:, :, : height // 2], images[:, :, : height // 2])
    assert not torch.equal(edited, images)
    assert torch.equal(model.edit(images, torch.ones_like(mask), condition, seed=2), model.generate(condition, seed=2))


def test_round_trip(name: str, tmp_path) -> None:
    """Law 7: the JSON gives the same system, the folder the same model; the weights are safetensors."""
    model = lively(tiny(name))
    folder = model.save_pretrained(tmp_path / "model")
    again = Model.from_pretrained(folder)
    assert again.system == model.system == System.from_dict(model.system.to_dict())
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    condition = conditions(model, 2)
    assert torch.equal(again.generate(condition, seed=1), model.generate(condition, seed=1))


def test_all_weights_learn(name: str) -> None:
    """Law 8: every parameter gets a gradient, and the tiny model overfits one batch."""
    torch.manual_seed(0)
    model = tiny(name).build().train()
    tokens = Tokens(random_tokens(model, 8), model.system.layout)
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=1e-2)
    moved: set[str] = set()
    for step in range(150):
        losses = model.loss(tokens, conditions(model, 8), seed=step)
        optimizer.zero_grad()
        losses["loss"].backward()
        moved |= {k for k, p in model.network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        optimizer.step()
        first = losses["loss"].item() if step == 0 else first  # noqa: F821
    assert moved == {k for k, _ in model.network.named_parameters()}
    assert losses["loss"].item() < 0.5 * first


def test_checkpointing_changes_nothing(name: str) -> None:
    """Recomputed activations give the same gradients."""
    gradients = []
    for checkpointing in (False, True):
        model = lively(replace(tiny(name))).train()
        model.network.backbone.checkpointing = checkpointing
        torch.manual_seed(0)
        model.loss(Tokens(random_tokens(model, 2), model.system.layout), conditions(model, 2))["loss"].backward()
        gradients.append([p.grad for p in model.network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_bad_input(name: str) -> None:
    """Law 9: wrong images, masks and scales are refused before anything is computed, and the argument is named."""
    model = lively(tiny(name))
    condition = conditions(model, 1)
    images = model.generate(condition)
    wrong: list[tuple[str, Tensor]] = [
        ("images", images[0]),
        ("images", images[..., :-1]),
        ("images", (images * 127).to(torch.uint8)),
        ("images", images + 3),
        ("images", images * torch.nan),
    ]
    for word, bad in wrong:
        with pytest.raises(UsageError, match=word):
            model.log_prob(bad, condition)
    with pytest.raises(UsageError, match="mask"):
        model.edit(images, torch.ones(3, 3), condition)
    with pytest.raises(UsageError, match="condition"):
        model.generate("a cat")
    with pytest.raises(UsageError, match="guidance"):
        model.generate(condition, guidance=float("nan"))
    with pytest.raises(UsageError, match="seed"):
        model.generate(condition, seed=1.5)  # type: ignore[arg-type]


def test_every_size_builds(name: str) -> None:
    """All sizes are systems whose parts fit, shown on the meta device."""
    for size, system in catalogue.sizes(name).items():
        with torch.device("meta"):
            assert sum(p.numel() for p in system.network().parameters()) > 0, size
