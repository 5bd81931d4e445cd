"""Frechet distance against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nextset.errors import NextsetError, UsageError
from nextset.evaluate.frechet import Moments, frechet, kid

EXACT = 1e-9  # float64, a few hundred operations on numbers of order 1 to 10


def of(features: Tensor) -> Moments:
    moments = Moments(features.shape[1])
    moments.add(features)
    return moments


def gaussian(mean: Tensor, covariance: Tensor, count: int = 10) -> Moments:
    moments = Moments(len(mean))
    moments.count, moments.mean, moments._scatter = count, mean.double(), covariance.double() * (count - 1)
    return moments


def test_batches_and_shards_equal_one_pass(generator: torch.Generator) -> None:
    x = (
        torch.randn(101, 7, generator=generator, dtype=torch.float64) * 3 + 1000
    )  # a large mean: cancellation would show
    left, right = Moments(7), Moments(7)
    for part in x[:40].split(9):
        left.add(part)
    right.add(x[40:])
    right.add(x[:0])
    left.merge(right)
    left.merge(Moments(7))
    assert left.count == 101
    torch.testing.assert_close(left.mean, x.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(left.covariance, x.T.cov(), rtol=1e-11, atol=1e-11)


def test_one_dimension() -> None:
    a, b = gaussian(torch.tensor([1.0]), torch.tensor([[4.0]])), gaussian(torch.tensor([-2.0]), torch.tensor([[9.0]]))
    assert frechet(a, b) == pytest.approx(3.0**2 + (2 - 3) ** 2, abs=EXACT)


def test_commuting_covariances(generator: torch.Generator) -> None:
    basis = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    s, t = torch.rand(6, generator=generator).double() + 0.1, torch.rand(6, generator=generator).double() * 9
    shift = torch.randn(6, generator=generator).double()
    a, b = gaussian(torch.zeros(6), basis * s @ basis.T), gaussian(shift, basis * t @ basis.T)
    expected = shift.square().sum() + (s.sqrt() - t.sqrt()).square().sum()
    assert frechet(a, b) == pytest.approx(expected.item(), abs=EXACT)
    assert frechet(b, a) == pytest.approx(expected.item(), abs=EXACT)


def test_non_commuting_covariances_in_two_dimensions() -> None:
    # for 2x2 matrices tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)), here with M = S T
    s, t = torch.tensor([[2.0, 1.0], [1.0, 3.0]]).double(), torch.tensor([[1.0, -0.5], [-0.5, 4.0]]).double()
    product = s @ t
    root = (product.trace() + 2 * product.det().sqrt()).sqrt()
    expected = s.trace() + t.trace() - 2 * root
    assert frechet(gaussian(torch.zeros(2), s), gaussian(torch.zeros(2), t)) == pytest.approx(
        expected.item(), abs=EXACT
    )


def test_equal_sets_are_at_distance_zero_even_when_singular(generator: torch.Generator) -> None:
    few = torch.randn(20, 64, generator=generator)  # rank 19 of 64
    assert frechet(of(few), of(few.flip(0))) < 1e-10  # rounding of a trace of about 60, some 1e-16 each
    constant = torch.ones(5, 8)
    assert frechet(of(constant), of(constant)) == 0.0


def test_singular_covariances_have_the_closed_form() -> None:
    a, b = torch.diag(torch.tensor([4.0, 0.0, 0.0])), torch.diag(torch.tensor([1.0, 9.0, 0.0]))
    assert frechet(gaussian(torch.zeros(3), a), gaussian(torch.zeros(3), b)) == pytest.approx(1 + 9, abs=EXACT)


def test_a_known_shift_is_found(generator: torch.Generator) -> None:
    x = torch.randn(5000, 4, generator=generator)
    moved = x.flip(0) + torch.tensor([2.0, 0.0, 0.0, -1.0])
    assert frechet(of(x), of(moved)) == pytest.approx(5.0, abs=1e-5)  # float32 sums of x + shift
    other = torch.randn(5000, 4, generator=generator)
    assert frechet(of(x), of(other)) < 0.01  # about (dim + dim^2 / 2) / 5000


def test_statistics_files(tmp_path: Path, generator: torch.Generator) -> None:
    x = of(torch.randn(50, 5, generator=generator))
    x.save(tmp_path / "x.npz")
    loaded = Moments.load(tmp_path / "x.npz")
    assert loaded.count == 50
    assert loaded.identity == x.identity
    assert frechet(x, loaded) < 1e-12
    np.savez(tmp_path / "usual.npz", mu=x.mean.numpy(), sigma=x.covariance.numpy())  # without a count
    assert frechet(x, Moments.load(tmp_path / "usual.npz")) < 1e-12
    assert sorted(p.name for p in tmp_path.iterdir()) == ["usual.npz", "x.npz"]


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(UsageError, match=r"x\.npz does not exist"):
        Moments.load(path)
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(NextsetError, match=r"x\.npz is damaged"):
        Moments.load(path)
    np.savez(path, mean=np.zeros(3))
    with pytest.raises(UsageError, match="no mu and sigma"):
        Moments.load(path)
    np.savez(path, mu=np.zeros(3), sigma=np.zeros((2, 2)))
    with pytest.raises(UsageError, match="sigma"):
        Moments.load(path)


def test_misfits_are_refused() -> None:
    with pytest.raises(UsageError, match="one extractor"):
        frechet(of(torch.randn(5, 3)), of(torch.randn(5, 4)))
    with pytest.raises(UsageError, match=r"\(B, 3\)"):
        Moments(3).add(torch.zeros(2, 4))
    with pytest.raises(UsageError, match="at least 2"):
        frechet(of(torch.zeros(1, 3)), of(torch.zeros(5, 3)))
    with pytest.raises(NextsetError, match="finite"):
        frechet(of(torch.full((5, 3), torch.nan)), of(torch.zeros(5, 3)))


def naive_kid(a: Tensor, b: Tensor) -> float:
    def kernel(x: Tensor, y: Tensor) -> float:
        return ((x @ y) / len(x) + 1).item() ** 3

    m, n = len(a), len(b)
    aa = sum(kernel(a[i], a[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    bb = sum(kernel(b[i], b[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return aa + bb - 2 * sum(kernel(x, y) for x in a for y in b) / (m * n)


def test_kid_equals_its_definition(generator: torch.Generator) -> None:
    a, b = torch.randn(7, 3, generator=generator).double(), torch.randn(9, 3, generator=generator).double() + 1
    assert kid(a, b, chunk=4) == pytest.approx(naive_kid(a, b), abs=EXACT)


def test_kid_of_one_distribution_is_zero_on_average(generator: torch.Generator) -> None:
    pairs = [torch.randn(2, 50, 3, generator=generator) for _ in range(200)]
    found = torch.tensor([kid(a, b) for a, b in pairs])
    assert abs(found.mean()) < 4 * found.std() / 200**0.5  # unbiased: within four standard errors
    assert kid(pairs[0][0], pairs[0][1] + 1) > found.max()
