"""Target-aware wiring and steps by AdaLN, against contents written out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import nextset
from nextset import UsageError
from nextset.backbones import Llama
from nextset.layout import Discrete, grid
from nextset.mixers import Attention
from nextset.orders import Plan, Random
from nextset.slots import Mask
from nextset.wirings import Call, Masked, Shift, Stepped, Targeted
from nextset.wirings.targeted import TargetedModule

from ..laws.parts import CODEC
from ..laws.toys import conditions, lively, random_tokens

SITES, DIM, PREFIX = 6, 8, 2
PERM = torch.tensor([[3, 0, 5, 1, 2, 4], [5, 4, 0, 1, 3, 2]])


def whole(wiring: Targeted | Stepped) -> Call:
    return Call(wiring.whole((1,) * SITES, PREFIX), Mask(causal=True), 0, torch.device("cpu"))


def test_contents_slot_by_slot() -> None:
    """Start; two condition slots, of which the last looks at the first site; each token, looking at the next site."""
    module = Targeted().build(DIM, Discrete(5), grid(2, 3), CODEC)
    assert isinstance(module, TargetedModule)
    torch.nn.init.normal_(module.start)
    tokens, prefix = torch.randint(5, (2, SITES)), torch.randn(2, PREFIX, DIM)
    filled = module.fill(whole(Targeted()), prefix, tokens, Plan(PERM, (1,) * SITES))
    own, toward = module.positions[0], module.targets[0]
    for sample, perm in enumerate(PERM.tolist()):
        rows: list[Tensor] = [module.start[0, 0] + own[0], prefix[sample, 0] + own[1]]
        rows.append(prefix[sample, 1] + own[1] + toward[perm[0]])
        for site, after in zip(perm, perm[1:], strict=False):
            rows.append(module.embed.weight[tokens[sample, site]] + own[2 + site] + toward[after])
        assert torch.allclose(filled[sample], torch.stack(rows), atol=1e-6)


def test_steps_follow_the_place_not_the_site() -> None:
    """Row 0 for the start slot, 1 for condition slots, 2 + r for the token of rank r, whatever the order."""
    wiring = Stepped(Targeted())
    module = wiring.build(DIM, Discrete(5), grid(2, 3), CODEC)
    vector = torch.randn(2, DIM)
    found = module.vectors(whole(wiring), vector, Plan(PERM, (1,) * SITES))
    rows = torch.tensor([0, 1, 1, 2, 3, 4, 5, 6])
    assert found is not None
    assert torch.equal(found, vector[:, None] + module.steps[0, rows])  # type: ignore[index]


def test_without_a_condition_slot_the_start_predicts() -> None:
    table = Targeted().whole((1, 1, 1), 0)
    assert table.predicts.tolist() == [0, 1, 2]
    assert Targeted().step(0, (1, 1, 1), 0).predicts.tolist() == [0]


def test_shuffling_is_a_relabelling_of_sites() -> None:
    """Tokens in another order, with the tables of positions in that order too, are the same sequence."""
    model = lively(replace(nextset.spec("rar/tiny"), order=Random()), double=True)
    network, sites = model.network, model.system.layout.sites
    tokens, condition = random_tokens(model, 1), conditions(model, 1)
    perm = torch.randperm(sites)
    raster = Plan(torch.arange(sites), (1,) * sites)
    shuffled = network.hidden(tokens, network.condition(condition), Plan(perm, (1,) * sites))
    tables = network.wiring.inner
    with torch.no_grad():
        tables.positions[:, 2:] = tables.positions[:, 2:][:, perm].clone()  # type: ignore[union-attr, index]
        tables.targets[:] = tables.targets[:, perm].clone()  # type: ignore[union-attr, index]
    straight = network.hidden(tokens[:, perm], network.condition(condition), raster)
    assert torch.equal(straight, shuffled)


def test_in_raster_targets_fold_into_positions() -> None:
    """Once the order is fixed, what a slot looks at follows from where it is: one table says both."""
    model = lively(nextset.spec("rar/tiny"), double=True)
    network, sites = model.network, model.system.layout.sites
    tokens, conditioning = random_tokens(model, 2), network.condition(conditions(model, 2))
    raster = Plan(torch.arange(sites), (1,) * sites)
    before = network.hidden(tokens, conditioning, raster)
    tables = network.wiring.inner
    with torch.no_grad():
        tables.positions[:, 1 : 1 + sites] += tables.targets  # type: ignore[union-attr, index]
        tables.targets.zero_()  # type: ignore[union-attr]
    torch.testing.assert_close(network.hidden(tokens, conditioning, raster), before, rtol=1e-12, atol=1e-12)


def test_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="without places"):
        Stepped(Masked())
    with pytest.raises(UsageError, match="predicts one site a step"):
        Targeted().whole((1, 2), 1)
    plain = Llama(16, 2, Attention(2), hidden_multiple=16)
    with pytest.raises(UsageError, match="wiring Stepped tells slots their steps by a vector that backbone Llama"):
        replace(nextset.spec("rar/tiny"), backbone=plain, wiring=Stepped(Shift())).network()
