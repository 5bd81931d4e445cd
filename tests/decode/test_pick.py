"""Drawing an id against the slow and obvious way, in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nextset import Pick, UsageError
from nextset.decode.pick import invert, keep_top_k, keep_top_p
from tests.laws.toys import assert_drawn_from

PICKS = [
    Pick(),
    Pick(0.5),
    Pick(2.0),
    Pick(top_k=3),
    Pick(top_k=100),
    Pick(top_p=0.5),
    Pick(top_p=1e-6),
    Pick(0.7, 5, 0.8),
    Pick(1.5, 2, 0.99),
]


def naive(pick: Pick, logits: np.ndarray) -> np.ndarray:
    """The probabilities (V,) of one row of logits, id by id."""
    logits = logits / pick.temperature
    allowed = np.ones(len(logits), dtype=bool)
    if pick.top_k:
        allowed &= logits >= np.sort(logits)[::-1][min(pick.top_k, len(logits)) - 1]
    if pick.top_p < 1:
        share = np.where(allowed, np.exp(logits - logits.max()), 0)
        share /= share.sum()
        total = 0.0
        for i in np.argsort(-share, kind="stable"):
            allowed[i] &= total <= pick.top_p  # the id that crosses the threshold is kept
            total += share[i]
    share = np.where(allowed, np.exp(logits - logits.max()), 0)
    return share / share.sum()


@pytest.mark.parametrize("pick", PICKS, ids=str)
def test_probabilities(pick: Pick) -> None:
    logits = torch.randn(20, 12).double() * 2
    expected = np.stack([naive(pick, row) for row in logits.numpy()])
    assert np.allclose(pick.probabilities(logits).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("pick", PICKS, ids=str)
def test_draws_follow_the_probabilities(pick: Pick) -> None:
    logits = torch.randn(12)
    ids = pick(logits.expand(8000, -1), torch.rand(8000))
    expected = pick.probabilities(logits) * 8000
    assert (torch.bincount(ids, minlength=12)[expected == 0] == 0).all()
    if (expected >= 5).sum() >= 3:
        assert_drawn_from(torch.bincount(ids, minlength=12), expected)


@pytest.mark.parametrize("pick", [Pick(0), Pick(top_k=1), Pick(0, 5, 0.5), Pick(2.0, 1)], ids=str)
def test_the_likeliest(pick: Pick) -> None:
    logits = torch.randn(4, 3, 9)
    assert torch.equal(pick(logits, torch.rand(4, 3)), logits.argmax(-1))


def test_ties_at_the_kth_are_kept() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 0.0]])
    assert keep_top_k(logits, 2).isfinite().tolist() == [[False, True, True, True, False]]


def test_the_id_that_crosses_the_threshold_is_kept() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).double().log()
    for p, kept in ((0.4, 1), (0.6, 2), (0.85, 3), (0.99, 4)):
        assert keep_top_p(logits, p).isfinite().sum() == kept
    shuffled = logits[:, [2, 0, 3, 1]]
    assert keep_top_p(shuffled, 0.6).isfinite().tolist() == [[False, True, False, True]]


@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_k_largest_are_sorted_alone(k: int) -> None:
    """After top-k, top-p need not sort everything; ids that tie with the last of the k stay or go together."""
    logits = keep_top_k(torch.randn(50, 20).double(), k)
    for p in (0.1, 0.5, 0.9):
        assert torch.equal(keep_top_p(logits, p, k), keep_top_p(logits, p))
    tied = torch.tensor([[0.4, 0.2, 0.2, 0.2]]).double().log()
    for p, kept in ((0.3, 1), (0.5, 2), (0.9, 4)):
        assert keep_top_p(tied, p, 2).isfinite().sum() == kept


def test_steps_of_unusual_sizes_take_the_likeliest() -> None:
    """Sites are counted, whether they have one code or several."""
    logits = torch.randn(2, 4, 3, 9)
    for part in (logits, logits[:, :, 0]):
        numbers = torch.rand(part.shape[:-1])
        assert torch.equal(Pick(sizes=(4,))(part, numbers), Pick()(part, numbers))
        assert torch.equal(Pick(sizes=(3,))(part, numbers), part.argmax(-1))


def test_a_threshold_that_is_met_exactly_is_crossed_by_the_next() -> None:
    """Four equal ids and 0.5: the third is the first above."""
    assert keep_top_p(torch.zeros(1, 4), 0.5).isfinite().sum() == 3


def test_invert_is_the_quantile_function() -> None:
    """The id whose stretch of [0, 1) holds the number."""
    probabilities = torch.tensor([0.2, 0.0, 0.5, 0.3]).double()
    points = torch.tensor([0.0, 0.1, 0.1999, 0.2, 0.6999, 0.7001, 0.9999]).double()
    assert invert(probabilities.expand(7, -1), points).tolist() == [0, 0, 0, 2, 2, 3, 3]


def test_invert_never_gives_an_impossible_id() -> None:
    """Whatever the rounding of the sum: zeros before, between and after, and numbers next to 1."""
    almost = float(np.nextafter(np.float32(1), np.float32(0)))
    for size in (3, 50, 1000):
        probabilities = torch.rand(200, size) * (torch.rand(200, size) < 0.3)
        probabilities[:, size // 2] += 1e-3
        probabilities[:, 0] = probabilities[:, -1] = 0
        probabilities /= probabilities.sum(-1, keepdim=True)
        for number in (0.0, almost, 0.5, 1e-30):
            ids = invert(probabilities, torch.full((200,), number))
            assert (probabilities.gather(-1, ids[:, None]) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_number_that_rounds_to_1_takes_the_last_possible_id(dtype: torch.dtype) -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.25, 0.0]], dtype=dtype)
    assert invert(probabilities, torch.tensor([1.0])).tolist() == [2]


def test_filters_leave_something_in_any_shape() -> None:
    """All logits equal, one finite logit, and no batch axis at all."""
    for logits in (torch.zeros(2, 5), torch.full((5,), -torch.inf).index_fill(0, torch.tensor([3]), 0.0)):
        for pick in PICKS:
            ids = pick(logits, torch.rand(logits.shape[:-1]))
            assert (pick.probabilities(logits).gather(-1, ids[..., None]) > 0).all()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
    ],
)
def test_bad_settings_are_refused(wrong: dict[str, float], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Pick(**wrong)  # type: ignore[arg-type]
