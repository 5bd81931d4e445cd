"""What a system is said to cost is what drawing with it really takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nextset import System, catalogue
from nextset.account import account, caching
from nextset.backbones import Llama, TwoPass
from nextset.backbones.llama import LlamaModule
from nextset.conditions import Unconditional
from nextset.layout import Layout
from nextset.mixers import EXACT, Attention, Cache, Context, Int8, Keeping, Mixer, MixerModule, Narrow, State
from nextset.mixers import Window as Recent
from nextset.mixers.keeping import Whole
from nextset.mixers.window import Ring
from nextset.noise import Noise
from nextset.orders import Confidence, Order, Plan, Random
from nextset.slots import Mask
from nextset.tokenizers.vq import VQ
from nextset.wirings import Masked, Queries

TINY = catalogue.spec("llamagen/tiny")


@dataclass(frozen=True)
class Chunks(Order):
    """Several sites a step, as many as one says."""

    cut: tuple[int, ...]

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        return self.cut

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        return Plan(noise.permutation(layout.sites), self.cut)


class Past(State):
    def __init__(self, held: Tensor, kept: int = 0) -> None:
        self.held, self.kept = held, kept

    def narrow(self, batch: int) -> Past:
        return Past(self.held[:batch], self.kept)


class WindowModule(MixerModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, context: Context, state: State | None = None) -> Tensor:
        assert isinstance(state, Past)
        end = state.kept + x.shape[1]
        state.held[:, state.kept : end] = x
        state.kept += context.keep
        seen = state.held[:, max(end - self.width, 0) : end]
        return (x @ seen.transpose(1, 2)).softmax(-1) @ seen

    def state(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> Past:
        return Past(like.new_zeros(batch, slots, like.shape[-1]))


@dataclass(frozen=True)
class Window(Mixer):
    """Sees the last `width` slots only, so its cost is no straight line in the slots that the cache holds."""

    width: int

    def build(self, dim: int, dropout: float) -> WindowModule:
        return WindowModule(self.width)

    def rotary_dim(self, dim: int) -> None:
        return None


def measured(system: System, condition: Any = 0) -> int:
    """Multiply-adds of really drawing one image."""
    model = system.build()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.generate(condition, guidance=1.0)
    return counter.get_total_flops() // 2


SYSTEMS = {
    "tiny": TINY,
    "grouped queries": replace(TINY, backbone=Llama(16, 2, Attention(4, groups=2), hidden_multiple=16)),
    "several sites a step": replace(TINY, order=Chunks((1, 3, 3, 3, 3, 2, 1)), wiring=Queries()),
    "everything at once": replace(TINY, order=Chunks((16,)), wiring=Queries()),
    "a window": replace(TINY, backbone=Llama(16, 3, Window(5), hidden_multiple=16)),
    "masks encoded afresh, a head of several steps": catalogue.spec("mar/tiny"),
    "a decoder": replace(TINY, tokenizer=VQ(8, 4, 8, (1, 2), blocks=1, latent=8, groups=4), size=(8, 8)),
    "masks": replace(TINY, order=Random(5), wiring=Masked()),
    "the surest first": replace(TINY, order=Confidence(4), wiring=Masked()),
    "captions": replace(TINY, condition=catalogue.spec("llamagen/t2i-xl-256").condition),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_is_what_drawing_takes(name: str) -> None:
    counted = account(SYSTEMS[name])
    total = measured(SYSTEMS[name], None if name == "captions" else 0)
    assert counted.multiply_adds + counted.decoder_multiply_adds == total
    assert (counted.decoder_multiply_adds > 0) == (name == "a decoder")


def test_it_is_what_the_paper_and_pencil_give() -> None:
    dim, depth, hidden, vocab, sites = 16, 2, 48, 5, 16
    matrices = 3 * dim * dim + dim * dim + dim * 2 * hidden + hidden * dim  # qkv, out, rise, fall
    attention = sum(2 * dim * keys for keys in range(1, sites + 1))  # queries by keys, then by values
    counted = account(TINY)
    assert counted.multiply_adds == sites * (depth * matrices + dim * vocab) + depth * attention
    norms = (2 * depth + 1) * dim
    assert counted.parameters == depth * matrices + norms + (3 + 1) * dim + 2 * vocab * dim  # classes, tokens, head
    assert (counted.sites, counted.tokens, counted.steps, counted.tokenizer_parameters) == (16, 16, 16, 0)
    assert counted.cache_bytes_float32 == depth * 2 * dim * sites * 4
    assert counted.cache_bytes_bfloat16 == counted.cache_bytes_float32 // 2
    assert counted.decoder_multiply_adds == 0
    heads, earlier = 2, sum(range(sites))
    assert counted.cache_bytes_int8 == depth * 2 * sites * (dim + 4 * heads)
    assert counted.cache_read_last_bfloat16 == depth * 2 * dim * (sites - 1) * 2
    assert counted.cache_read_total_bfloat16 == depth * 2 * dim * earlier * 2


KEEPINGS = (EXACT, Narrow("bfloat16"), Int8(), Recent(3, 1))
KEPT = {
    "tiny": TINY,
    "several sites a step": SYSTEMS["several sites a step"],
    "a memory and its readers": replace(
        SYSTEMS["several sites a step"], backbone=TwoPass(16, 4, Attention(2), 2, hidden_multiple=16)
    ),
    "asked several times": catalogue.spec("xar/tiny"),
    "scales": catalogue.spec("var/tiny"),
}


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("keeping", KEEPINGS, ids=str)
def test_a_cache_is_what_drawing_holds_and_reads(name: str, keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tensors after the last step, and for every call what the states then held of earlier ones."""
    model, read, caches = KEPT[name].build(), [], []
    make = model.network.backbone.cache

    def cache(*args: Any) -> Cache:
        caches.append(make(*args))
        for state in caches[0].states:
            watch(state)
        return caches[0]

    def watch(state: Any) -> None:
        extend = state.extend

        def watched(k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
            seen = extend(k, v, keep, mask)
            slot = sum(t[:, :, 0].nbytes for t in vars(state).values() if isinstance(t, Tensor))
            shared = getattr(state, "readers", 1) if isinstance(state, Whole | Ring) else 1
            read.append(slot * shared * (seen[0].shape[2] - k.shape[2]))
            return seen

        state.extend = watched

    monkeypatch.setattr(model.network.backbone, "cache", cache)
    model.network.keeping = keeping
    model.generate(0, guidance=1.0)
    counted = caching(KEPT[name], keeping, torch.float32)
    assert counted.bytes == caches[0].nbytes
    assert len(counted.reads) == len(KEPT[name].order.sizes(KEPT[name].layout))
    assert sum(counted.reads) == sum(read)
    assert counted.reads[0] < counted.reads[-1]


def test_readers_each_read_what_they_share() -> None:
    cache = KEPT["a memory and its readers"].build().network.backbone.cache(1, 8, torch.zeros(0))
    assert [state.read(3) for state in cache.states] == [2 * 16 * 4 * 3] * 2 + [2 * 2 * 16 * 4 * 3]


def test_no_cache_costs_nothing() -> None:
    """Where every step is encoded afresh."""
    found = caching(SYSTEMS["masks"], EXACT)
    assert (found.bytes, set(found.reads)) == (0, {0})


def test_a_recurrent_state_is_read_whole() -> None:
    """However many slots it has seen, and however keys would be kept."""
    found = caching(catalogue.spec("aim/tiny"), Int8())
    assert set(found.reads) == {found.bytes}


def test_a_long_sequence_takes_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published sizes have hundreds of steps; what is run does not grow with them."""
    calls, forward = [], LlamaModule.forward

    def watched(self: LlamaModule, *args: Any) -> Tensor:
        calls.append(1)
        return forward(self, *args)

    monkeypatch.setattr(LlamaModule, "forward", watched)
    found = account(replace(TINY, size=(64, 64)))
    assert found.steps == 4096
    assert len(calls) <= 8


def test_published_sizes_have_their_parameters() -> None:
    """The counts that the LlamaGen paper states: 111M and 343M, with a 72M tokenizer."""
    found = account(catalogue.spec("llamagen/b"))
    assert round(found.parameters / 1e6) == 111
    assert round(found.tokenizer_parameters / 1e6) == 72
    assert found.tokens == 256


def test_nothing_is_made_or_drawn() -> None:
    before = torch.get_rng_state()
    account(SYSTEMS["captions"])
    assert torch.equal(torch.get_rng_state(), before)


def test_unconditional_systems_count_too() -> None:
    system = replace(TINY, condition=Unconditional())
    assert account(system).multiply_adds == account(TINY).multiply_adds
