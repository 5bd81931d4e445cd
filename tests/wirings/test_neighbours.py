"""Neighbours: what each readout predicts and who sees whom, against the grid; what is averaged; what does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nextset import UsageError, catalogue
from nextset.backbones import Twofold
from nextset.layout import Discrete, grid, line
from nextset.noise import Noise
from nextset.orders import Wavefront
from nextset.slots import NONE, PREFIX, visible
from nextset.wirings import Neighbours

from ..laws.toys import conditions, drawn_plan, lively, random_tokens, tiny


@pytest.mark.parametrize(("height", "width"), [(3, 3), (2, 4), (4, 2), (1, 4), (4, 1), (1, 1)])
def test_against_the_grid(height: int, width: int) -> None:
    layout = grid(height, width)
    plan = Wavefront().plan(layout, Noise(0, range(1)))
    table = Neighbours(tall=height > width).whole(plan.sizes, prefix=2)
    places = [tuple(layout.coordinates()[site].tolist()) for site in plan.perm]
    place = lambda rank: None if rank == NONE else places[rank]
    assert table.holds.tolist() == [PREFIX, PREFIX, *range(height * width - 1)]
    for slot in range(2, len(table)):
        h, w = places[table.at[slot]]
        assert place(table.predicts[slot]) == ((h, w + 1) if w + 1 < width else None)
        assert place(table.also[slot]) == ((h + 1, w) if h + 1 < height else None)
    assert (table.predicts[:2].tolist(), table.also[:2].tolist()) == ([NONE, 0], [NONE, 0])
    seen = visible(table, table)[2:, 2:]
    far = [sum(places[rank]) for rank in table.at[2:]]
    assert seen.tolist() == [[b <= a for b in far] for a in far]


def test_logits_are_averaged_where_two_propose() -> None:
    """By hand from the two readouts of the slots: the left neighbour's first, the upper one's second."""
    model = lively(tiny("nar"))
    network, side, dim = model.network, 4, 16
    tokens, plan = random_tokens(model, 2), drawn_plan(model, 0, 2)
    given: list[torch.Tensor] = []
    network.backbone.register_forward_hook(lambda module, args, out: given.append(out))
    with torch.no_grad():
        logits = plan.to_sites(
            network.head.logits(network.hidden(tokens, network.condition(conditions(model, 2)), plan))
        )
        heads = network.head.project.weight.split(dim, 1)
        right, below = (h @ w.T for h, w in zip(given[0].chunk(2, -1), heads, strict=True))
    slot = {(h, w): 1 + plan.perm.tolist().index(h * side + w) for h in range(side) for w in range(side)}
    for h in range(side):
        for w in range(side):
            proposals = ([right[:, slot[h, w - 1]]] if w else []) + ([below[:, slot[h - 1, w]]] if h else [])
            proposals = proposals or [right[:, 0], below[:, 0]]
            torch.testing.assert_close(logits[:, h * side + w], sum(proposals) / len(proposals))


def test_wide_and_tall_pictures_are_drawn() -> None:
    for height, width in ((2, 4), (4, 2)):
        system = replace(tiny("nar"), size=(height, width), wiring=Neighbours(tall=height > width))
        assert lively(system).generate(0).shape == (1, 1, height, width)


@pytest.mark.parametrize("sizes", [(1, 2), (2, 2), (1, 3, 1), (1, 2, 3, 2)])
def test_other_steps_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="wavefronts of a grid"):
        Neighbours().whole(sizes, 1)


def test_what_else_is_refused() -> None:
    with pytest.raises(UsageError, match="tall=True"):
        Neighbours().build(8, Discrete(3), grid(3, 2), None)
    with pytest.raises(UsageError, match="grid"):
        Neighbours().build(8, Discrete(3), line(3), None)
    with pytest.raises(UsageError, match="condition slot"):
        Neighbours().whole((1, 2, 1), 0)
    with pytest.raises(UsageError, match="Neighbours predicts by two readouts, but backbone Llama gives 16"):
        replace(tiny("nar"), backbone=catalogue.spec("llamagen/tiny").backbone).network()
    with pytest.raises(UsageError, match="more"):
        Twofold(catalogue.spec("llamagen/tiny").backbone, more=0)  # type: ignore[arg-type]
