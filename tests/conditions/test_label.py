"""Classes as users name them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nextset import UsageError
from nextset.conditions import Label

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("given", "batch", "labels"),
    [
        (2, None, [2]),
        (2, 3, [2, 2, 2]),
        ([0, 1, 2], None, [0, 1, 2]),
        ((0, 3), 2, [0, 3]),
        (torch.tensor([1, 0], dtype=torch.int32), 2, [1, 0]),
        (torch.tensor(1), 2, [1, 1]),
        (None, 2, [4, 4]),
        (None, None, [4]),
        (4, 2, [4, 4]),
    ],
)
def test_what_is_taken(given: Any, batch: int | None, labels: list[int]) -> None:
    """One label is repeated; 4, or None, is no class of 4."""
    prepared = Label(4).build(8).prepare(given, batch, CPU)
    assert prepared.dtype == torch.int64
    assert prepared.tolist() == labels


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, "label 5 is outside 0..3"),
        ([0, -2], "label -2 is outside 0..3"),
        ([0, 1, 2], "3 labels for 2 samples"),
        (torch.tensor([0.0, 1.0]), "integers, got torch.float32"),
        (torch.tensor([True, False]), "integers, got torch.bool"),
        ("cat", "class indices .*, got str"),
        (["a", "b"], "class indices"),
    ],
)
def test_messages(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Label(4).build(8).prepare(given, 2, CPU)


def test_the_null_class_has_a_row_of_its_own() -> None:
    module = Label(4).build(8)
    assert module.embed.weight.shape == (5, 8)
    prepared = module.prepare([0, 3], 2, CPU)
    assert torch.equal(module(prepared).prefix[:, 0], module.embed.weight[[0, 3]])
    assert torch.equal(module.null(prepared).prefix[:, 0], module.embed.weight[[4, 4]])


def test_a_training_batch_is_asked_its_labels() -> None:
    labels = torch.tensor([1, 2])
    assert Label(4).of(labels, ["a", "b"]) is labels
