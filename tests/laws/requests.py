"""What users ask of each kind of condition, and what they are refused. A new kind of condition gets its entry in both tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from nextset.conditions import Attended, Captions, Condition, Label, Text, Unconditional, Words


def _features(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoded captions of 1, 2, 3, 1, 2, ... tokens, as an encoder pads them."""
    generator = torch.Generator().manual_seed(7)  # not what weights of a test are drawn from
    mask = torch.arange(3) <= (torch.arange(batch) % 3)[:, None]
    return torch.randn(batch, 3, 6, generator=generator), mask


def _ids(part: Words, batch: int) -> torch.Tensor:
    """Captions that count through the words."""
    return torch.arange(batch * part.slots).view(batch, part.slots) % part.vocab


# what a user asks of each kind of condition for a batch, different along it
ASKED: dict[type[Condition], Callable[[Any, int], Any]] = {
    Unconditional: lambda part, batch: None,
    Label: lambda part, batch: torch.arange(batch) % 2,
    Text: lambda part, batch: _features(batch),
    Attended: lambda part, batch: _features(batch),
    Words: _ids,
    Captions: lambda part, batch: [" ".join(part.words[: 1 + i % len(part.words)][::-1]) for i in range(batch)],
}
NO_FEATURES = (
    "a cat",
    ["a cat", "a dog"],
    3,
    torch.zeros(2, 3, 5),
    torch.zeros(2, 5, 6),
    torch.zeros(2, 0, 6),
    torch.zeros(3, 6),
    torch.zeros(()),
    torch.zeros(2, 3, 6, dtype=torch.int64),
    torch.full((1, 2, 6), torch.nan),
    (torch.zeros(2, 3, 6), torch.ones(2, 2)),
    (torch.zeros(2, 3, 6), torch.zeros(2, 3)),
    (torch.zeros(2, 3, 6), None),
)
REFUSED: dict[type[Condition], tuple[Any, ...]] = {
    Unconditional: ("a cat", 0, torch.zeros(2, dtype=torch.int64), [1]),
    Label: ("a cat", -1, 4, 0.5, True, [[1]], [0, 9], {"label": 1}, [0.5], torch.zeros(1, 1, dtype=torch.int64)),
    Words: (
        "a cat",
        True,
        0.5,
        -1,
        7,
        [0, 9],
        [[0, 0, 0, 0]],
        ["a"],
        {"ids": 1},
        torch.zeros(0, 3, dtype=torch.int64),
        torch.zeros(1, 1, 1, dtype=torch.int64),
        torch.zeros(1, 3),
    ),
    Attended: NO_FEATURES,
    Text: NO_FEATURES,
    Captions: (
        "a cat",
        "",
        "a b a b",
        ["a", 3],
        ["a", "c"],
        3,
        torch.zeros(2, dtype=torch.int64),
        torch.zeros(2, 3),
        {"a": 1},
    ),
}


def asked(part: Condition, batch: int) -> Any:
    """What a user might ask of `part`."""
    return ASKED[type(part)](part, batch)
