"""A codebook of running means: it follows by hand-made numbers, restarts what is unused, and finds the nearest by brute force."""

from __future__ import annotations

import pytest
import torch

from nextset.errors import UsageError
from nextset.nn.moving import MovingCodebook

DECAY = 0.9


def book(vocab: int = 3, dim: int = 2) -> MovingCodebook:
    """Codes in fair use."""
    made = MovingCodebook(vocab, dim, DECAY)
    made.sizes.fill_(4.0)
    made.sums.copy_(made.weight * 4)
    return made


def test_follows_running_means() -> None:
    """sum / size after one step, each by its own vectors; a code that gets none stays where it is while in use."""
    made = book()
    before, vectors = made.weight.clone(), torch.randn(4, 2)
    made.follow(vectors, torch.tensor([0, 0, 2, 0]))
    size = DECAY * 4 + (1 - DECAY) * 3
    expected = (DECAY * 4 * before[0] + (1 - DECAY) * vectors[[0, 1, 3]].sum(0)) / size
    torch.testing.assert_close(made.weight[0], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made.weight[1], before[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [5, 2])
def test_unused_codes_restart_on_vectors_of_the_batch(count: int) -> None:
    """A size below 1 starts again at 1; copies of one vector differ where there are fewer vectors than codes."""
    made, vectors = book(vocab=4), torch.randn(count, 2)
    made.sizes[:3] = 0.5
    made.follow(vectors, torch.full((count,), 3))
    near = torch.cdist(made.weight[:3], vectors).amin(1)
    assert (near < 0.02).all()
    assert torch.equal(made.sizes[:3], torch.ones(3))
    assert len(made.weight[:3].unique(dim=0)) == 3


def test_nearest_is_the_nearest() -> None:
    made, vectors = book(vocab=9, dim=3), torch.randn(5, 7, 3)
    assert torch.equal(made.nearest(vectors), torch.cdist(vectors, made.weight).argmin(-1))
    torch.testing.assert_close(
        made.distances(vectors), torch.cdist(vectors, made.weight).square(), rtol=1e-4, atol=1e-4
    )


def test_has_no_parameters_and_travels() -> None:
    made, other = book(), MovingCodebook(3, 2)
    assert not list(made.parameters())
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.weight, made.weight)


def test_refuses_a_decay_of_1() -> None:
    with pytest.raises(UsageError, match="decay"):
        MovingCodebook(3, 2, 1.0)
