"""The Llama backbone: its sizes, its initial state, positions on the layout's axes."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.backbones import Llama
from nextset.layout import grid, line, video
from nextset.mixers import Attention
from nextset.nn.rotary import Rotary, rotate
from nextset.slots import Mask, Slots


def small(**changes: object) -> Llama:
    return Llama(**{"dim": 16, "depth": 2, "mixer": Attention(2), "hidden_multiple": 8, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dim", "multiple", "hidden"), [(768, 256, 2048), (3200, 256, 8704), (96, 256, 256), (16, 8, 48)]
)
def test_hidden_width(dim: int, multiple: int, hidden: int) -> None:
    """8/3 dim, rounded up; two matrices into it are one here."""
    with torch.device("meta"):
        block = small(dim=dim, hidden_multiple=multiple).build(grid(2, 2)).blocks[0]
    assert block.feedforward.rise.weight.shape == (2 * hidden, dim)
    assert block.feedforward.fall.weight.shape == (dim, hidden)


def test_no_biases_and_one_norm_before_each_half() -> None:
    names = {name for name, _ in small().build(grid(2, 2)).blocks[0].named_parameters()}
    assert names == {
        "mixer_norm.weight",
        "mixer.qkv.weight",
        "mixer.out.weight",
        "feedforward_norm.weight",
        "feedforward.rise.weight",
        "feedforward.fall.weight",
    }


def test_initial_matrices() -> None:
    module = small(dim=64, std=0.1).build(grid(2, 2))
    for name, parameter in module.named_parameters():
        wanted = 0.0 if "norm" in name else 0.1
        assert abs(parameter.std() - wanted) < 0.01, name


def test_rotary_positions_are_relative_on_every_axis() -> None:
    """Scores of turned queries and keys depend on the difference of coordinates alone, axis by axis."""
    layout = video(2, 3, 3)
    rotary = Rotary(layout, 12, 10.0)
    q, k = torch.randn(2, 12).double()
    sites = layout.coordinates().tolist()
    table = rotary(torch.arange(layout.sites))
    turned_q, turned_k = (rotate(x.expand(1, 1, layout.sites, -1), table)[0, 0] for x in (q, k))
    scores: dict[tuple[int, ...], float] = {}
    for i, a in enumerate(sites):
        for j, b in enumerate(sites):
            difference = tuple(x - y for x, y in zip(a, b, strict=True))
            score = float(turned_q[i] @ turned_k[j])
            assert scores.setdefault(difference, score) == pytest.approx(score, abs=1e-5)
    assert len({round(score, 6) for score in scores.values()}) == len(scores)


def test_slots_without_a_site_vanish_from_scores() -> None:
    turns = Rotary(grid(2, 2), 8, 10.0)(torch.tensor([-1, 0]))
    turned = rotate(torch.randn(1, 1, 2, 8), turns)
    assert (turned[:, :, 0] == 0).all()
    assert (turned[:, :, 1] != 0).all()


def test_rotation_is_wide_in_half_precision() -> None:
    """Angles are kept in float32 whatever the weights are cast to."""
    module = small().build(grid(16, 16)).to(torch.bfloat16)
    assert module.rotary is not None
    assert module.rotary(torch.arange(256)).dtype == torch.complex64


@pytest.mark.parametrize(("layout", "dim"), [(grid(2, 2), 6), (video(2, 2, 2), 8), (line(2), 3)])
def test_heads_must_hold_all_axes(layout: object, dim: int) -> None:
    with pytest.raises(UsageError, match="rotary positions"):
        small(dim=dim, mixer=Attention(1)).build(layout)  # type: ignore[arg-type]


def test_dropout_only_in_training() -> None:
    module = small(dropout=0.5).build(grid(2, 2))
    slots = Slots(torch.randn(1, 3, 16), torch.tensor([-1, 0, 1]), Mask(causal=True))
    assert torch.equal(module.eval()(slots), module(slots))
    assert not torch.equal(module.train()(slots), module(slots))


@pytest.mark.parametrize(("checkpointing", "training", "times"), [(True, True, 2), (False, True, 1), (True, False, 1)])
def test_checkpointing_computes_blocks_again(checkpointing: bool, training: bool, times: int) -> None:
    """Once forward and once backward, in training only."""
    module, calls = small().build(grid(2, 2)).train(training), []
    module.checkpointing = checkpointing
    for block in module.blocks:
        block.mixer.qkv.register_forward_hook(lambda *_: calls.append(1))
    slots = Slots(torch.randn(1, 3, 16), torch.tensor([-1, 0, 1]), Mask(causal=True))
    module(slots).sum().backward()
    assert len(calls) == times * len(module.blocks)
