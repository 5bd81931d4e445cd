"""Directions of a walk, and code vectors as embeddings."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.layout import Continuous, Discrete, grid, line
from nextset.nn.embedding import CodeVectors, Table
from nextset.noise import Noise
from nextset.orders import Diagonal, Plan
from nextset.slots import Mask
from nextset.tokenizers.pixel import Pixel
from nextset.wirings import Call, Directed
from nextset.wirings.directed import DirectedModule

from ..laws.parts import CODEC, Vectors

RIGHT, DOWN, DOWN_LEFT, UP_RIGHT, NOWHERE = 5, 7, 6, 2, 9  # 3 (sign of rows + 1) + sign of columns + 1


def module() -> DirectedModule:
    return Directed(Table()).build(8, Discrete(5), grid(3, 3), CODEC)


def test_directions_of_the_diagonal_walk() -> None:
    """The condition slot is nowhere; then each token's slot says the move to the next site."""
    plan = Diagonal().plan(grid(3, 3), Noise(0, range(1)))
    call = Call(Directed().whole((1,) * 9, 1), Mask(causal=True), 0, torch.device("cpu"))
    found = module().moves(call.sites(plan), call.targets(plan)).tolist()
    assert found == [NOWHERE, RIGHT, DOWN_LEFT, DOWN, UP_RIGHT, UP_RIGHT, DOWN, DOWN_LEFT, RIGHT]


def test_nothing_after_the_last_site_is_a_direction_of_its_own() -> None:
    site, target = torch.tensor([4, -1, -1]), torch.tensor([-1, 4, -1])
    assert module().moves(site, target).tolist() == [NOWHERE] * 3


def test_contents() -> None:
    part = module()
    tokens, prefix, perm = torch.randint(5, (2, 9)), torch.randn(2, 1, 8), torch.randperm(9)
    call = Call(Directed().whole((1,) * 9, 1), Mask(causal=True), 0, torch.device("cpu"))
    plan = Plan(perm, (1,) * 9)
    filled = part.fill(call, prefix, tokens, plan)
    ways = part.directions(part.moves(call.sites(plan), call.targets(plan)))
    assert torch.allclose(filled[:, 0], prefix[:, 0] + part.directions.weight[NOWHERE])
    assert torch.allclose(filled[:, 1:], part.embed(tokens[:, perm[:-1]]) + ways[1:])


def test_equal_codes_are_equal_tokens() -> None:
    """Only the code vector of an id counts, and the codebook is not the network's to train."""
    codec = Vectors()
    codec.table = codec.table.clone()
    codec.table[3] = codec.table[1]
    part = Directed(CodeVectors()).build(8, Discrete(5), grid(3, 3), codec)
    vectors = part.embed(torch.arange(5)[None])
    assert torch.equal(vectors[:, 3], vectors[:, 1])
    assert not torch.equal(vectors[:, 2], vectors[:, 1])
    assert {name for name, _ in part.named_parameters()} == {"embed.map.weight", "embed.map.bias", "directions.weight"}


def test_codes_of_a_site_lie_side_by_side() -> None:
    part = Directed(CodeVectors()).build(8, Discrete(3, codes=2), line(4), CODEC)
    ids = torch.tensor([[[0, 1], [2, 0]]])
    assert torch.allclose(part.embed(ids), part.embed.map(CODEC.embed(ids).flatten(2)))


def test_what_cannot_be_embedded() -> None:
    with pytest.raises(UsageError, match="no code vectors"):
        Directed(CodeVectors()).build(8, Discrete(5), grid(3, 3), Pixel(5).build())
    for embed in (CodeVectors(), Table()):
        with pytest.raises(UsageError, match="gives latents"):
            Directed(embed).build(8, Continuous(2), grid(3, 3), CODEC)
