"""One table for tokens and for what is added where a code was read."""

from __future__ import annotations

import torch

from nextset.layout import Discrete, line
from nextset.orders import Plan
from nextset.wirings import Injected, Script
from tests.laws.parts import CODEC

PLAN = Plan(torch.tensor([2, 0, 1]), (1, 1, 1))
TOKENS = torch.tensor([[[0, 2], [1, 1], [2, 0]]])


def test_tokens_are_sums_of_one_table() -> None:
    module = Injected().build(8, Discrete(3, codes=2), line(3), CODEC)
    call, start = Script(Injected(), PLAN.sizes, 1, torch.device("cpu")).whole, torch.zeros(1, 1, 8)
    table = module.embed.weight
    filled = module.fill(call, start, TOKENS, PLAN)
    torch.testing.assert_close(filled[0, 1:], torch.stack([table[2] + table[0], table[0] + table[2]]))


def test_a_slot_is_added_the_code_of_the_site_that_it_predicts() -> None:
    """Not of the one whose token it holds; a condition slot that predicts nothing is added nothing."""
    module = Injected().build(8, Discrete(3, codes=2), line(3), CODEC)
    call = Script(Injected(), PLAN.sizes, 2, torch.device("cpu")).whole
    added = module.injection(call, TOKENS, PLAN)(1, torch.zeros(1, 4, 8))
    table = module.embed.weight
    # slots: two of the condition, of which the second predicts site 2, then those that predict sites 0 and 1
    torch.testing.assert_close(added[0], torch.stack([torch.zeros(8), table[0], table[2], table[1]]))
