"""Every way of keeping keys and values, under every mixer that has some: a window is exact with the rest hidden, rounding stays small."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from nextset import Model, System, UsageError
from nextset.decode import Constant, Guidance, Interval
from nextset.mixers import EXACT, Context, Int8, Keeping, KeyValues, Mixer, Narrow, Window, keeping_of
from nextset.mixers.keeping import Whole
from nextset.mixers.rounded import quantised
from nextset.mixers.window import Ring
from nextset.nn.attend import attend
from nextset.slots import Mask

from ..laws.parts import toys
from ..laws.toys import BASE, conditions, drawn_plan, incremental, lively, random_tokens, tiny

DIM, BATCH, ROOM = 16, 3, 64
LIKE = torch.zeros(0, dtype=torch.float64)
MIXERS = [part for part in toys(Mixer) if isinstance(part.build(DIM, 0.0).state(1, 1, LIKE), KeyValues)]
over_mixers = pytest.mark.parametrize("part", MIXERS, ids=str)
over_windows = pytest.mark.parametrize("window", [Window(3, 2), Window(2, 0), Window(1, 4), Window(5, 1)], ids=str)
# half a step of the rounding, as a share: of the mantissa, or of the largest of the numbers that share a scale
UNITS = {Narrow("float16"): 2**-11, Narrow("bfloat16"): 2**-8, Int8(): 1 / 254}
over_rounded = pytest.mark.parametrize("keeping", UNITS, ids=str)
# every attention; slots that pass, a shared state, padding, scales, questions asked again
SYSTEMS: dict[str, System] = {
    **{str(part): replace(BASE, backbone=replace(BASE.backbone, mixer=part)) for part in MIXERS},  # type: ignore[call-arg]
    **{
        name: tiny(name)
        for name in ("sets", "sets+readers", "sets+readers+text", "targeted+text", "arpg", "var", "xar")
    },
}
UNGUIDED = Constant(1.0)
over_systems = pytest.mark.parametrize("name", SYSTEMS)


@dataclass
class Piece:
    """One call: contents (B, L, D), the mask over all slots ever kept and its own, how many of its slots stay, and how many did."""

    x: Tensor
    mask: Mask
    keep: int
    kept: int

    def hiding(self, window: Window) -> Mask:
        """Its mask, less what a window has dropped."""
        if self.kept <= window.first + window.slots:
            return self.mask
        length = self.x.shape[1]
        dense = self.mask.dense
        if dense is None:
            dense = torch.ones(length, self.kept + length, dtype=torch.bool)
        hidden = torch.arange(dense.shape[-1])
        return Mask(dense=dense & ((hidden < window.first) | (hidden >= self.kept - window.slots)))


def pieces(seed: int) -> Iterator[Piece]:
    """Calls of 1 to 9 slots, of which 0 to all stay, under every form of mask; a query sees itself."""
    numbers, kept = random.Random(seed), 0
    torch.manual_seed(seed)
    while kept < 25:
        length = numbers.choice((1, 1, 2, 4, 9))
        keep = numbers.randint(0, length)
        own = torch.arange(length)[:, None] == torch.arange(-kept, length)
        forms = [
            Mask(),
            Mask(dense=(torch.rand(length, kept + length) < 0.6) | own),
            Mask(dense=(torch.rand(BATCH, 1, length, kept + length) < 0.6) | own),
        ]
        mask = Mask(causal=True) if kept == 0 else numbers.choice(forms)
        yield Piece(torch.randn(BATCH, length, DIM).double(), mask, keep, kept)
        kept += keep


@over_mixers
@over_windows
@pytest.mark.parametrize("seed", range(3))
def test_a_window_is_everything_with_the_rest_hidden(part: Mixer, window: Window, seed: int) -> None:
    """Whatever is passed and kept; half way on with the first samples alone."""
    module = part.build(DIM, 0.0).double().eval()
    exact, windowed = (module.state(BATCH, ROOM, LIKE, keeping) for keeping in (EXACT, window))
    assert isinstance(windowed, Ring)
    rows, dropped = BATCH, False
    for piece in pieces(seed):
        if rows == BATCH and piece.kept > 12:
            rows, exact, windowed = 2, exact.narrow(2), windowed.narrow(2)
        hiding, mask = (_rows(m, rows) for m in (piece.hiding(window), piece.mask))
        expected = module(piece.x[:rows], Context(None, hiding, piece.keep), exact)
        found = module(piece.x[:rows], Context(None, mask, piece.keep), windowed)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        dropped |= piece.kept > window.first + window.slots
    assert dropped
    assert windowed.nbytes < 2 * exact.nbytes * (window.first + window.slots + 9) / ROOM


def _rows(mask: Mask, rows: int) -> Mask:
    return mask if mask.dense is None or mask.dense.ndim == 2 else Mask(dense=mask.dense[:rows])


@over_windows
def test_a_causal_mask_of_readers_loses_columns(window: Window) -> None:
    """Readers are as many as what they read, of which a window has dropped some (`TwoPass`)."""
    shape, kept = (BATCH, 2, ROOM, 4), 20
    states = [keeping.build(shape, LIKE) for keeping in (EXACT, window)]
    seen, q = [], torch.randn(BATCH, 2, kept + 3, 4).double()
    k, v = torch.randn(2, BATCH, 2, kept + 3, 4).double()
    for state in states:
        for start in range(0, kept, 4):
            state.extend(k[:, :, start : start + 4], v[:, :, start : start + 4], 4, Mask())
        seen.append(state.extend(k[:, :, kept:], v[:, :, kept:], 3, Mask(causal=True)))
    place = torch.arange(kept + 3)
    stays = (place < window.first) | (place >= kept - window.slots)
    expected = attend(q, *seen[0][:2], Mask(dense=torch.ones(kept + 3, kept + 3, dtype=torch.bool).tril() & stays))
    torch.testing.assert_close(attend(q, *seen[1]), expected, rtol=1e-10, atol=1e-12)


@over_windows
def test_a_ring_allocates_for_larger_calls_alone(window: Window) -> None:
    """Slot by slot nothing grows; a call of five makes room for five once."""
    state = window.build((1, 2, ROOM, 4), LIKE)
    new, held = torch.zeros(1, 2, 5, 4).double(), window.first + window.slots
    for _ in range(20):
        k, _, _ = state.extend(new[:, :, :1], new[:, :, :1], 1, Mask())
    assert state.nbytes == 2 * 2 * (held + 1) * 4 * 8
    assert k.untyped_storage().data_ptr() == state.k.untyped_storage().data_ptr(), "what is seen is a view"
    for _ in range(2):
        state.extend(new, new, 0, Mask())
        assert state.nbytes == 2 * 2 * (held + 5) * 4 * 8
    assert (state.read(0), state.read(1), state.read(20)) == (0, 2 * 2 * 4 * 8, 2 * 2 * held * 4 * 8)


# -- in systems


def hidden(model: Model, keeping: Keeping, guidance: Guidance = UNGUIDED) -> Tensor:
    """What the head of a model is given for fixed tokens, step by step through a cache: (3, N, W) by rank, guided rows behind."""
    model.network.keeping = keeping
    tokens, condition, plan = random_tokens(model, 3), conditions(model, 3), drawn_plan(model, 0, 3)
    steps = incremental(model, tokens, condition, guidance, plan)
    return torch.cat([torch.cat([half for half in halves if half is not None]).flatten(0, 1) for halves in steps])


def kept(model: Model) -> int:
    """Slots that stay before the last step."""
    network, system = model.network, model.system
    calls = network.script(system.order.sizes(system.layout), torch.device("cpu")).steps
    return sum(call.keep for call in calls[:-1])


@over_systems
@pytest.mark.parametrize("guidance", [UNGUIDED, Interval(3.0, 1, 3)], ids=str)
def test_a_window_of_everything_is_exact(name: str, guidance: Guidance) -> None:
    """With a ring, where the last step passes slots, and to the bit; a window that drops some is not."""
    model = lively(SYSTEMS[name])
    exact, slots = hidden(model, EXACT, guidance), kept(model)
    assert torch.equal(hidden(model, Window(slots - 1, 1), guidance), exact)
    assert torch.equal(hidden(model, Window(1000), guidance), exact)
    if slots > 2:
        assert not torch.allclose(hidden(model, Window(1, 0), guidance), exact, atol=1e-3)


@over_systems
def test_rounding_moves_little(name: str) -> None:
    """What the head reads, and logits with it, moves by a few units, as errors that are small add up: in proportion to them.

    The toys' weights (deviation 0.4) make scores of size 1 to 3, so they amplify: up to 4 units of the finest rounding. The others may
    move by as many units of theirs, give or take 3; in Int8 numbers are off by a share of the largest, which is up to sqrt(d) of theirs.
    """
    model = lively(SYSTEMS[name])
    exact = hidden(model, EXACT)
    units = {
        how: ((hidden(model, how) - exact).square().mean().sqrt() / exact.std()).item() / unit
        for how, unit in UNITS.items()
    }
    finest = units[Narrow("float16")]
    assert 0 < finest < 4
    assert 0 < units[Narrow("bfloat16")] < 3 * finest
    width = model.network.backbone.cache(1, 1, exact[:0]).states[0].k.shape[-1]  # type: ignore[attr-defined]
    assert 0 < units[Int8()] < 3 * width**0.5 * finest


@over_rounded
def test_logits_move_little(keeping: Keeping) -> None:
    """Log-probabilities of tokens under the same past: within 4 units of the size of logits, for two logits that differ."""
    model = lively(BASE)
    with torch.no_grad():
        logits = [model.network.head.logits(hidden(model, how)) for how in (EXACT, keeping)]  # type: ignore[operator]
        exact, found = (x.log_softmax(-1) for x in logits)
    assert (found - exact).square().mean().sqrt() < 4 * UNITS[keeping] * logits[0].std() * 2


@over_rounded
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_rounding_is_as_fine_as_it_says(keeping: Keeping, dtype: torch.dtype) -> None:
    """What a call passes is exact, what was kept within half a step; keys of dtype come back in it."""
    state = keeping.build((BATCH, 2, ROOM, 8), torch.zeros(0, dtype=dtype))
    k, v = (torch.randn(2, BATCH, 2, 7, 8) * torch.logspace(-2, 2, 7)[:, None]).to(dtype)
    v[:, :, 2] = 0
    state.extend(k[:, :, :5], v[:, :, :5], 4, Mask())
    state = state.narrow(2)
    seen = state.extend(k[:2, :, 5:], v[:2, :, 5:], 2, Mask(causal=True))
    for found, came in zip(seen[:2], (k, v), strict=True):
        came = came[:2, :, [0, 1, 2, 3, 5, 6]]
        assert found.dtype == dtype
        assert torch.equal(found[:, :, 4:], came[:, :, 4:])
        old = came[:, :, :4].double()
        size = old.abs().amax(-1, keepdim=True) if keeping == Int8() else old.abs()
        step = 2**-8 * old.abs() if dtype == torch.bfloat16 else 0  # the result is rounded too
        assert ((found[:, :, :4].double() - old).abs() <= 1.001 * UNITS[keeping] * size + step + 1e-7).all()
    assert seen[2].causal


def test_int8_uses_its_range() -> None:
    numbers, scale = quantised(torch.tensor([[1e-3, -2e-3, 0.0], [127.0, 64.0, -1.0], [0.0, 0.0, 0.0]]))
    assert numbers.tolist() == [[64, -127, 0], [127, 64, -1], [0, 0, 0]]
    assert scale.shape == (3, 1)
    assert torch.isfinite(scale).all()


@over_systems
def test_fewer_bytes_are_held(name: str) -> None:
    """Half, a quarter with the scales, and what a window holds, in the caches that decoding makes."""
    backbone, held = lively(SYSTEMS[name]).network.backbone, {}
    for word in ("exact", "bfloat16", "float16", "int8", "window:6+2"):
        cache = backbone.cache(BATCH, ROOM, torch.zeros(0), keeping_of(word))
        assert cache.narrow(1).nbytes * BATCH == cache.nbytes
        held[word] = cache.nbytes
        assert cache.read(0) == 0
    widths = {state.k.shape[-1] for state in cache.states if isinstance(state, KeyValues)}
    assert held["bfloat16"] == held["float16"] == held["exact"] // 2
    assert held["int8"] == held["exact"] * (1 + 4 / widths.pop()) / 4
    assert held["window:6+2"] == held["exact"] * 9 // ROOM


# -- choosing


def test_what_changes_nothing_costs_nothing() -> None:
    """A dtype that keys have anyway, and a window that is never full."""
    like, shape = torch.zeros(0, dtype=torch.bfloat16), (1, 2, 8, 4)
    assert isinstance(Narrow("bfloat16").build(shape, like), Whole)
    assert isinstance(Window(6, 2).build(shape, like), Whole)
    assert isinstance(Window(5, 2).build(shape, like), Ring)


def test_words() -> None:
    found = {
        "exact": EXACT,
        "bfloat16": Narrow("bfloat16"),
        "float16": Narrow("float16"),
        "int8": Int8(),
        "window:256": Window(256),
        "window:256+8": Window(256, 8),
        "window:1+0": Window(1, 0),
    }
    assert {word: keeping_of(word) for word in found} == found


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("bfloat61", "keeping 'bfloat61' is unknown; did you mean 'bfloat16'?"),
        ("int4", "did you mean 'int8'?"),
        ("windw:3", "did you mean 'window:256'?"),
        ("", "known: exact, "),
        ("float32", "did you mean "),
        ("window", "write window:256 or window:256+8"),
        ("window:", "write window:256 or window:256+8"),
        ("window:-3", "write window:256 or window:256+8"),
        ("window:3+", "write window:256 or window:256+8"),
        ("int8:3", "did you mean 'int8'?"),
        ("window:0", "slots must be at least 1, got 0"),
    ],
)
def test_other_words_are_wrong_use(word: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        keeping_of(word)
    assert told in str(raised.value)


def test_bad_values_are_refused() -> None:
    with pytest.raises(UsageError, match="dtype must be bfloat16 or float16, got 'bfloat'; did you mean 'bfloat16'"):
        Narrow("bfloat")
    with pytest.raises(UsageError, match="slots must be at least 1, got 0"):
        Window(0)
    with pytest.raises(UsageError, match="first must be at least 0, got -1"):
        Window(4, -1)


def test_windows_are_whole_numbers() -> None:
    for slots, first, name in ((2.5, 0, "slots"), (True, 0, "slots"), (4, 1.5, "first")):
        with pytest.raises(UsageError, match=f"{name} must be a whole number"):
            Window(slots, first)  # type: ignore[arg-type]


def test_large_keys_stay_finite_in_float16() -> None:
    large = torch.full((1, 1, 1, 2), 1e6)
    state = Narrow("float16").build((1, 1, 3, 2), large)
    state.extend(large, -large, 1, Mask())
    k, v, _ = state.extend(large, large, 0, Mask())
    assert k[0, 0, 0].tolist() == [65504.0] * 2
    assert v[0, 0, 0].tolist() == [-65504.0] * 2
