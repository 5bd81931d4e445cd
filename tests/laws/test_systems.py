"""Every system of the catalogue obeys every law that applies to it. A new system is tested by existing."""

from __future__ import annotations

import collections
import itertools
import math

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, System, UsageError
from nextset.decode import Constant, Guidance, Interval
from nextset.layout import Tokens, line
from nextset.wirings import Call
from nextset.wirings.base import script

from .toys import (
    SYSTEMS,
    all_tokens,
    asked_again,
    assert_drawn_from,
    conditions,
    drawn_plan,
    each_order,
    editable,
    guidable,
    incremental,
    likelihood,
    lively,
    noisy_tokens,
    place,
    random_images,
    random_tokens,
    same,
    teacher_forced,
    tiny,
    toy,
)

pytestmark = pytest.mark.parametrize("name", SYSTEMS)


def skip_unguidable(model: Model, guided: bool) -> None:
    """Guidance asks for something to guide against."""
    if guided and not guidable(model.system):
        pytest.skip("there is nothing to guide against")


def test_partition(name: str) -> None:
    """Law 1: a plan, of drawing and of training, names every site once, in steps of the sizes that its order promised."""
    model = tiny(name).build()
    layout, order = model.system.layout, model.system.order
    trained = model.network.plan(3, 4, torch.device("cpu"))
    for plan, promised in ((drawn_plan(model, 3, 4), order), (trained, order.trained())):
        for row in plan.perm.reshape(-1, layout.sites):
            assert sorted(row.tolist()) == list(range(layout.sites))
        assert plan.sizes == promised.sizes(layout)


def test_causality_by_gradient(name: str) -> None:
    """Law 2: in float64 a prediction's gradient is exactly zero at tokens of its own step and later, and not zero at earlier ones."""
    model = lively(tiny(name), double=True)
    network, sites = model.network, model.system.layout.sites
    filled: list[tuple[Tensor, Tensor]] = []
    tokens, condition = random_tokens(model, 2), conditions(model, 2)
    plan, fill = drawn_plan(model, 0, 2), network.wiring.fill

    def watched(call: Call, *args: object) -> Tensor:
        filled.append((fill(call, *args).detach().requires_grad_(), torch.as_tensor(call.table.holds)))
        return filled[-1][0]

    network.wiring.fill = watched  # type: ignore[method-assign]
    hidden = network.hidden(tokens, network.condition(condition), plan, noisy_tokens(model, 2, plan))
    shown = torch.zeros(sites, dtype=torch.bool)  # a slot that carries many values is known by the latest one
    for _, holds in filled:
        shown[holds[holds >= 0]] = True
    for start, end in itertools.pairwise(plan.starts):
        for rank in range(start, end):
            gradients = torch.autograd.grad(
                hidden[:, rank].sin().sum(), [x for x, _ in filled], retain_graph=True, allow_unused=True
            )
            size = torch.zeros(sites, dtype=torch.float64)
            for gradient, (_, holds) in zip(gradients, filled, strict=True):
                if gradient is not None:
                    size.index_add_(0, holds[holds >= 0], gradient.abs().sum((0, 2))[holds >= 0])
            assert size[start:].eq(0).all()
            assert size[:start][shown[:start]].gt(0).all()


def test_causality_by_poison(name: str) -> None:
    """Law 2 again: changing every token from some step on leaves earlier predictions, and that step's, bit for bit.

    Where the codes of a token are read one after the other, a readout may know the codes before its own, and no others.
    """
    model = lively(tiny(name), double=True)
    tokens, condition = random_tokens(model, 2), conditions(model, 2)
    network, plan = model.network, drawn_plan(model, 0, 2)
    noisy, readouts = noisy_tokens(model, 2, plan), model.system.backbone.readouts
    clean = network.hidden(tokens, network.condition(condition), plan, noisy)
    for (start, end), code in itertools.product(itertools.pairwise(plan.starts), range(readouts)):
        ranks, others = plan.to_ranks(tokens), plan.to_ranks(random_tokens(model, 2, seed=start + 1))
        ranks[:, end:] = others[:, end:]
        own = (slice(None), slice(start, end), *([slice(code, None)] if readouts > 1 else []))
        ranks[own] = others[own]
        poisoned = network.hidden(plan.to_sites(ranks), network.condition(condition), plan, noisy)
        assert torch.equal(poisoned[:, :start], clean[:, :start])
        known = (code + 1) * clean.shape[2] // readouts
        assert torch.equal(poisoned[:, start:end, :known], clean[:, start:end, :known])


@pytest.mark.parametrize("guidance", [Constant(1.0), Constant(3.0), Interval(3.0, 1, 3)], ids=str)
def test_parallel_is_incremental(name: str, guidance: Guidance) -> None:
    """Law 3: teacher-forced hidden vectors equal step-by-step cached ones, for every row, unguided, guided, and in part."""
    model = lively(tiny(name))
    skip_unguidable(model, guidance.scales((1, 1)) != (1, 1))
    tokens, condition = random_tokens(model, 3), conditions(model, 3)
    plan = drawn_plan(model, 0, 3)
    scales = guidance.scales(plan.sizes)
    with torch.no_grad():
        expected = teacher_forced(model, tokens, condition, plan, any(scale != 1 for scale in scales))
    largest = max(half.abs().max() for half in expected if half is not None)
    steps = zip(
        incremental(model, tokens, condition, guidance, plan), itertools.pairwise(plan.starts), scales, strict=True
    )
    for halves, (start, end), scale in steps:
        assert (halves[1] is not None) == (scale != 1)
        for half, whole in zip(halves, expected, strict=True):
            if half is not None and whole is not None:
                assert torch.allclose(half, whole[:, start:end], rtol=1e-5, atol=1e-5 * largest)


def test_a_step_asked_again_says_the_same(name: str) -> None:
    """Law 3 for heads that ask several times: without the slots that the first call has kept, the answer is the same."""
    model = lively(tiny(name))
    plan = drawn_plan(model, 0, 2)
    script = model.network.script(plan.sizes, torch.device("cpu"))
    if any(
        len(again.table.predicted) < len(call.table.predicted)
        for again, call in zip(script.again, script.steps, strict=True)
    ):
        pytest.skip("slots that predict stay in the cache, so a step is asked once")
    guidance = Constant(2.0 if guidable(model.system) else 1.0)
    for first, *others in asked_again(model, random_tokens(model, 2), conditions(model, 2), guidance, plan, 3):
        for other in others:
            for before, after in zip(first, other, strict=True):
                assert (before is None) == (after is None)
                if before is not None and after is not None:
                    assert torch.allclose(before, after, rtol=1e-5, atol=1e-5 * before.abs().max())


def test_whole_and_steps_agree(name: str) -> None:
    """Law 3, on the tables: what the steps predict, in order, is what the whole sequence predicts."""
    system = tiny(name)
    sizes, prefix = system.order.sizes(system.layout), system.condition.slots
    whole = system.wiring.whole(sizes, prefix)
    steps = [system.wiring.step(k, sizes, prefix) for k in range(len(sizes))]
    assert whole.predicted.tolist() == list(range(sum(sizes)))
    ranks = [table.predicted.tolist() for table in steps]
    starts = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
    assert ranks == [list(range(a, b)) for a, b in zip(starts, starts[1:], strict=False)]


def test_normalised(name: str) -> None:
    """Law 4: the probabilities of all pictures sum to 1, for every class and every order."""
    model = lively(toy(name), double=True)
    network, tokens = model.network, all_tokens(model.system)
    for row, (plan, _) in itertools.product(conditions(model, 2), each_order(model, 3, 2)):
        conditioning = network.condition(row.expand(len(tokens), *row.shape))
        log_probs = network.head.log_prob(network.hidden(tokens, conditioning, plan), plan.to_ranks(tokens))
        assert abs(log_probs.sum(1).exp().sum() - 1) < 1e-9  # float64 sums of some hundred terms


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_sampling_is_the_model(name: str, scale: float) -> None:
    """Law 5: what is drawn follows the enumerated (guided) distribution; chi-square at a fixed seed."""
    model, count, seed = lively(toy(name)), 4000, 5
    skip_unguidable(model, scale != 1)
    condition, tokens = conditions(model, 2)[1:], all_tokens(model.system)
    asked, expected = condition.expand(len(tokens), *condition.shape[1:]), torch.zeros(len(tokens))
    with torch.no_grad():
        for plan, samples in each_order(model, seed, count):
            hidden, unguided = teacher_forced(model, tokens, asked, plan, scale != 1)
            log_probs = model.network.head.log_prob(hidden, plan.to_ranks(tokens), unguided, scale)
            expected += log_probs.sum(1).exp() * samples
    (last,) = collections.deque(
        model.stream(condition.expand(count, *condition.shape[1:]), seed=seed, guidance=scale, pick=Pick()), maxlen=1
    )
    found = place(model.system, last.decoding.tokens.data)
    assert_drawn_from(torch.bincount(found, minlength=len(tokens)), expected)


def test_reproducible(name: str) -> None:
    """Law 6: a sample is the same picture alone, in a batch, or in another place of the batch."""
    model = lively(tiny(name))
    condition = conditions(model, 5)
    together = model.generate(condition, seed=7)
    assert torch.equal(model.generate(condition, seed=7), together)
    assert same(model, model.generate(condition[3:], seed=7, first=3), together[3:])
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
    """Outside the mask nothing changes; with everything masked the result is a fresh sample. Without places it is refused."""
    model = lively(tiny(name))
    condition, (height, width) = conditions(model, 2), model.system.size
    images = model.generate(condition, seed=1)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[height // 2 :] = True
    if not editable(model.system):
        with pytest.raises(UsageError, match="no place in the picture"):
            model.edit(images, mask, condition, seed=2)
        return
    edited = model.edit(images, mask, condition, seed=2)
    assert torch.equal(edited[:, :, : height // 2], images[:, :, : height // 2])
    assert not torch.equal(edited, images)
    assert torch.equal(model.edit(images, torch.ones_like(mask), condition, seed=2), model.generate(condition, seed=2))


@pytest.mark.filterwarnings("ignore:.*kept sites")
def test_edit_takes_a_mask_a_picture(name: str) -> None:
    """Any pixels, not only those that the tokenizer can draw, are kept to the bit outside each picture's own mask."""
    model = lively(tiny(name))
    if not editable(model.system):
        pytest.skip("sites have no place in the picture")
    channels, size = model.system.tokenizer.channels, model.system.size
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, channels, *size, generator=generator) * 2 - 1
    masks = torch.rand(3, *size, generator=generator) < 0.3
    edited = model.edit(images, masks, conditions(model, 3), seed=4)
    kept = ~masks[:, None].expand_as(images)
    assert torch.equal(edited[kept], images[kept])
    assert not torch.equal(edited, images)


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
    """Law 8: every parameter gets a gradient, and the tiny model overfits one batch in its order."""
    torch.manual_seed(0)
    model = tiny(name).build().train()
    tokens = Tokens(random_tokens(model, 8), model.system.layout)
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=1e-2)
    still, first = dict(model.network.named_parameters()), math.inf
    for step in range(150):
        torch.manual_seed(0)  # the noise of heads, and dropout, of one batch
        loss = model.loss(tokens, conditions(model, 8), seed=0)["loss"]
        first = loss.item() if step == 0 else first
        if not still and loss.item() < 0.25 * first:
            return  # more than is asked for, and earlier
        optimizer.zero_grad()
        loss.backward()
        still = {name: p for name, p in still.items() if p.grad is None or not p.grad.any()}
        optimizer.step()
    if still or not loss.item() < 0.5 * first:
        pytest.fail(
            f"after 150 steps the loss went from {first:.3g} to {loss.item():.3g}; without a gradient: {', '.join(still) or 'none'}"
        )


def test_learns_after_it_was_scored_and_drawn(name: str) -> None:
    """What is decided once and kept serves inference and training alike, whichever comes first."""
    script.cache_clear()
    model = lively(tiny(name))
    tokens, condition = Tokens(random_tokens(model, 2), model.system.layout), conditions(model, 2)
    if likelihood(model.system):
        model.log_prob(tokens, condition)
    model.generate(condition)
    model.train().loss(tokens, condition)["loss"].backward()
    assert any(p.grad is not None for p in model.network.parameters())


def test_checkpointing_changes_nothing(name: str) -> None:
    """Recomputed activations give the same gradients."""
    gradients = []
    for checkpointing in (False, True):
        model = lively(tiny(name)).train()
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
    with pytest.raises(UsageError, match="mask"):
        model.edit(images, torch.ones(2, *model.system.size), condition)
    with pytest.raises(UsageError, match="images"):
        model.loss(Tokens(torch.zeros(1, 7, dtype=torch.int64), line(7)), condition)
    for bad_condition in ("a cat", {"a": 1}, torch.zeros(2, 1, 1, 1)):
        with pytest.raises(UsageError, match="condition"):
            model.generate(bad_condition)
    with pytest.raises(UsageError, match="guidance"):
        model.generate(condition, guidance=float("nan"))
    with pytest.raises(UsageError, match="seed"):
        model.generate(condition, seed=1.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="count"):
        model.generate(count=0)


def test_log_prob_is_the_loss(name: str) -> None:
    """In evaluation mode the loss is -log_prob per site; nothing is dropped."""
    model = lively(tiny(name), double=True)
    if not likelihood(model.system):
        pytest.skip("the loss is no likelihood")
    tokens = Tokens(random_tokens(model, 3), model.system.layout)
    log_prob = model.log_prob(tokens, conditions(model, 3))
    loss = model.loss(tokens, conditions(model, 3))["loss"]
    assert torch.allclose(-log_prob.mean() / model.system.layout.sites, loss, rtol=1e-12)


def test_guidance_of_1_is_no_guidance(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With scale 1 the null condition is never computed; a scale next to it, where it is, draws the same."""
    model = lively(tiny(name))
    condition, part = conditions(model, 2), model.network.condition
    if guidable(model.system):
        nearly = model.generate(condition, guidance=1 + 1e-9)
    with monkeypatch.context() as patched:
        patched.setattr(part, "null", None)
        unguided = model.generate(condition, guidance=1.0)
    if guidable(model.system):
        assert same(model, unguided, nearly)
    else:
        with pytest.raises(UsageError, match="guidance"):
            model.generate(condition, guidance=2.0)


def test_bfloat16(name: str) -> None:
    """In bfloat16 the model encodes, scores and draws; its loss is that of float32 up to the weights' rounding."""
    model = lively(tiny(name))
    images, condition = random_images(model, 4), conditions(model, 4)
    torch.manual_seed(0)  # the noise of heads
    exact = model.loss(images, condition)["loss"].item()
    model = model.to(torch.bfloat16)
    torch.manual_seed(0)
    rounded = model.loss(images, condition)["loss"].item()
    assert abs(rounded - exact) < 0.05 * exact  # 8 bits of mantissa, a few layers, logits of a few units
    assert model.generate(condition, seed=1).isfinite().all()
