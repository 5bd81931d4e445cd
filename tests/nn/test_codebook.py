"""The codebook: nearest codes, gradients, statistics, revival, and agreement between processes."""

from __future__ import annotations

import math
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor

from nextset.errors import UsageError
from nextset.nn import codebook as module
from nextset.nn.codebook import Codebook


@pytest.mark.parametrize("normalise", [True, False])
def test_nearest_by_brute_force(normalise: bool, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Codebook(11, 4, normalise=normalise)
    book.weight.data = torch.randn(11, 4, generator=generator)
    latents = torch.randn(2, 3, 5, 4, generator=generator)
    z, codes = (F.normalize(t, dim=-1) if normalise else t for t in (latents, book.weight.detach()))
    expected = torch.cdist(z.double().flatten(0, 2), codes.double()).argmin(-1).view(2, 3, 5)
    assert torch.equal(book.nearest(latents), expected)
    monkeypatch.setattr(module, "LARGEST_TABLE", 4 * 11)  # in pieces of four latents
    assert torch.equal(book.nearest(latents), expected)


@pytest.mark.parametrize("normalise", [True, False])
def test_loss_and_straight_through(normalise: bool, generator: torch.Generator) -> None:
    book = Codebook(7, 3, beta=0.4, normalise=normalise)
    latents = torch.randn(2, 6, 3, generator=generator, requires_grad=True)
    quantised = book(latents)
    z = (F.normalize(latents, dim=-1) if normalise else latents).detach()
    codes = book.embed(quantised.ids).detach()
    # value: (1 + beta) times the mean square; 1e-6 is float32 rounding of numbers near 1
    torch.testing.assert_close(quantised.loss, 1.4 * (codes - z).square().mean(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(quantised.vectors, codes, atol=1e-6, rtol=1e-6)
    # gradient through the vectors: that of z itself, and none for the codes
    weights = torch.randn(2, 6, 3, generator=generator)
    (through,) = torch.autograd.grad((quantised.vectors * weights).sum(), latents, retain_graph=True)
    placed = F.normalize(latents, dim=-1) if normalise else latents
    (expected,) = torch.autograd.grad((placed * weights).sum(), latents)
    torch.testing.assert_close(through, expected)
    (to_codes,) = torch.autograd.grad(quantised.vectors.sum(), book.weight, retain_graph=True, allow_unused=True)
    assert to_codes is None
    # gradient of the loss: 1 for the codebook, beta for the latents
    to_codes, to_latents = torch.autograd.grad(quantised.loss, (book.weight, latents))
    codes = book.embed(quantised.ids)
    (mine,) = torch.autograd.grad(F.mse_loss(codes, z), book.weight)
    placed = F.normalize(latents, dim=-1) if normalise else latents
    (theirs,) = torch.autograd.grad(0.4 * F.mse_loss(placed, codes.detach()), latents)
    torch.testing.assert_close(to_codes, mine)
    torch.testing.assert_close(to_latents, theirs)


def test_float32_under_autocast(generator: torch.Generator) -> None:
    book = Codebook(64, 8)
    latents = torch.randn(50, 8, generator=generator)
    wide = book(latents)
    with torch.autocast("cpu", torch.bfloat16):
        inside = book(latents)
        assert torch.equal(book.nearest(latents), wide.ids)
    assert inside.vectors.dtype == inside.loss.dtype == torch.float32
    assert torch.equal(inside.vectors, wide.vectors)
    assert inside.loss == wide.loss


def test_statistics() -> None:
    book = Codebook(4, 2)
    assert book.usage() == 0
    for _ in range(3):
        book.count(torch.tensor([0, 0, 0, 1]))
    # the start at zero does not show: shares are those of the constant batches, times V; 1e-5: float32 averages
    torch.testing.assert_close(book.shares, torch.tensor([3.0, 1.0, 0.0, 0.0]), atol=1e-5, rtol=1e-5)
    assert book.usage() == 0.5
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    torch.testing.assert_close(book.perplexity(), torch.tensor(math.exp(entropy)), atol=1e-5, rtol=1e-5)
    before = book.hits.clone()
    book.eval()(torch.ones(5, 2))
    assert torch.equal(book.hits, before)
    assert book.batches == 3


def collapsed(generator: torch.Generator) -> tuple[Codebook, Tensor]:
    """A codebook of which one code was used, with latents that lie around it."""
    book = Codebook(32, 4)
    latents = F.normalize(book.weight.detach()[5] + 0.1 * torch.randn(200, 4, generator=generator), dim=-1)
    book.count(torch.full((200,), 5))
    return book, latents


def test_revival_moves_only_unused_codes(generator: torch.Generator) -> None:
    book, latents = collapsed(generator)
    kept = book.weight.detach()[5].clone()
    assert book.revive(latents) == 31
    assert torch.equal(book.weight.detach()[5], kept)
    moved = torch.cat([book.weight.detach()[:5], book.weight.detach()[6:]])
    apart = (moved[:, None] - latents).norm(dim=-1).amin(1)
    assert (apart < 1e-6).all()  # normalised twice, so equal but for the last bits
    assert len(moved.unique(dim=0)) == 31  # no latent was taken twice
    assert book.usage() == 1
    assert book.revive(latents) == 0
    assert len(book.nearest(latents).unique()) > 20


def test_revival_before_any_batch_does_nothing() -> None:
    book = Codebook(8, 2)
    before = book.weight.detach().clone()
    assert book.revive(torch.randn(9, 2)) == 0
    assert torch.equal(book.weight.detach(), before)


def test_a_resumed_run_repeats_the_revival(generator: torch.Generator) -> None:
    book, latents = collapsed(generator)
    resumed = Codebook(32, 4)
    resumed.load_state_dict(book.state_dict())
    for one in (book, resumed):
        torch.rand(3)  # the global generator must not matter
        one.revive(latents)
        one(latents)
        one.revive(latents.flip(0))
    for key, value in book.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_fewer_latents_than_unused_codes() -> None:
    book = Codebook(16, 2)
    book.count(torch.zeros(4, dtype=torch.int64))
    assert book.revive(torch.randn(3, 2)) == 15


def test_bad_sizes() -> None:
    with pytest.raises(UsageError, match="vocab"):
        Codebook(1, 4)


def _work(rank: int, port: int, folder: str) -> None:
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    book = Codebook(32, 4)
    generator = torch.Generator().manual_seed(rank)
    for _ in range(3):
        latents = torch.randn(40, 4, generator=generator) * 0.1 + F.one_hot(torch.tensor(rank), 4)
        book(latents)
        book.revive(latents)
    torch.save({"state": book.state_dict(), "latents": latents}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_agree(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_work, args=(port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert not torch.equal(first["latents"], second["latents"])
    for key, value in first["state"].items():
        assert torch.equal(value, second["state"][key]), key
    assert first["state"]["batches"] == 3
    # 80 latents of both processes in each batch, and a moved code counts as one that had its fair share
    assert first["state"]["hits"].mean() > 2.9 * 80 / (module.WINDOW * 32)
