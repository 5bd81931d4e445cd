"""Captions as ids: what is taken, and how they are predicted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from nextset import UsageError
from nextset.conditions import Label, Words
from nextset.objectives import Captioned
from tests.laws.toys import BASE

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("part", "given", "batch", "ids"),
    [
        (Words(4), 2, 2, [[2], [2]]),
        (Words(4), [0, 3], None, [[0], [3]]),
        (Words(4), None, 2, [[4], [4]]),
        (Words(4, dropout=None), None, None, [[0]]),
        (Words(4, 3), [1, 2, 3], 2, [[1, 2, 3], [1, 2, 3]]),
        (Words(4, 3), [[1, 2, 3], [0, 0, 0]], 2, [[1, 2, 3], [0, 0, 0]]),
        (Words(4, 2), torch.tensor([[1, 2]], dtype=torch.int32), None, [[1, 2]]),
    ],
)
def test_what_is_taken(part: Words, given: Any, batch: int | None, ids: list[list[int]]) -> None:
    assert part.build(8).prepare(given, batch, CPU).tolist() == ids


def test_no_null_without_dropout() -> None:
    """No row of the table stands for it, and guidance is refused."""
    part = Words(4, 2, dropout=None)
    module = part.build(8)
    assert module.embed.num_embeddings == 4
    with pytest.raises(UsageError, match="guidance"):
        module.null(module.prepare([1, 2], 1, CPU))
    with pytest.raises(UsageError, match="outside"):
        module.prepare([1, 4], 1, CPU)


def test_of_a_batch() -> None:
    """Labels are captions of one word; longer ones are not in a batch."""
    labels = torch.tensor([2, 0])
    assert Words(4).of(labels, ["", ""]).tolist() == [[2], [0]]  # type: ignore[union-attr]
    assert Words(1, dropout=None).of(labels, ["", ""]) is None
    with pytest.raises(UsageError, match="ids"):
        Words(4, 2).of(labels, ["", ""])


def test_each_slot_predicts_the_next_word() -> None:
    torch.manual_seed(0)
    module = Words(5, 3, dropout=None, predicted=True).build(8)
    hidden, ids = torch.randn(2, 3, 8), torch.tensor([[1, 2, 3], [4, 0, 1]])
    log_p = module.project(module.norm(hidden[:, :2])).log_softmax(-1)
    expected = -torch.stack([log_p[b, i, ids[b, i + 1]] for b in range(2) for i in range(2)]).view(2, 2)
    torch.testing.assert_close(module.losses(hidden, ids), expected)


@pytest.mark.parametrize("wrong", [dict(slots=1, dropout=None), dict(slots=3, dropout=0.1)], ids=str)
def test_predicted_captions_are_whole(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="predicted"):
        Words(5, predicted=True, **wrong)


@pytest.mark.parametrize("condition", [Label(3), Words(3, 2, None)], ids=str)
def test_captioned_needs_them(condition: Label | Words) -> None:
    with pytest.raises(UsageError, match="predicted"):
        replace(BASE, condition=condition, objective=Captioned()).network()
