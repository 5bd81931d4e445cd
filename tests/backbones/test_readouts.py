"""A Llama read on the way: where codes are added, and what fits to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nextset import System, UsageError, catalogue
from nextset.backbones import Llama, Readouts
from nextset.heads import Categorical
from nextset.layout import grid
from nextset.mixers import Attention, Context
from nextset.official.dnd_transformer import FAMILY, PUBLISHED
from nextset.slots import Mask, Slots
from nextset.systems.dnd_transformer import SIZES
from nextset.systems.llamagen import SIZES as LLAMAGEN
from nextset.tokenizers.rq import RQ
from nextset.wirings import Shift

BASE = Llama(16, 4, Attention(2), hidden_multiple=16, std=0.2)
TINY = catalogue.spec("dnd-transformer/tiny")


def test_codes_are_added_after_they_are_read() -> None:
    """Readout d is the norm of the stream after block l_d; what is added there is in all later blocks, and in no earlier readout."""
    module = Readouts(BASE, (0, 2, 3)).build(grid(2, 2)).eval()
    x, site, added = torch.randn(2, 4, 16), torch.arange(4), torch.randn(2, 2, 4, 16)
    asked: list[tuple[int, Tensor]] = []

    def inject(code: int, readout: Tensor) -> Tensor:
        asked.append((code, readout))
        return added[code]

    with torch.no_grad():
        out = module(Slots(x, site, Mask(causal=True), inject=inject))
        context = Context(module.rotary(site), Mask(causal=True))  # type: ignore[misc]
        stream, expected = x, []
        for layer, block in enumerate(module.blocks):
            stream = block(stream, context, None)
            if layer in (0, 2, 3):
                expected.append(module.norms[len(expected)](stream))
                if layer < 3:
                    stream = stream + added[len(expected) - 1]
    torch.testing.assert_close(out, torch.cat(expected, -1))
    assert [code for code, _ in asked] == [0, 1]
    torch.testing.assert_close(asked[1][1], expected[1])


@pytest.mark.parametrize("reads", [(), (0, 2), (2, 1, 3), (1, 1, 3), (-1, 3), (3, 4)])
def test_refuses_reads_that_do_not_rise_to_the_end(reads: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="reads"):
        Readouts(BASE, reads)


@pytest.mark.parametrize(
    "change", [{"head": Categorical()}, {"tokenizer": replace(TINY.tokenizer, codes=3)}, {"backbone": BASE}], ids=str
)
def test_needs_a_readout_a_code(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(TINY, **change).network()  # type: ignore[arg-type]


def test_without_an_injection_codes_are_independent() -> None:
    """Under `Shift` the readouts of a site do not know its codes; under its own wiring the second one does."""
    for wiring, knows in ((TINY.wiring, True), (Shift(), False)):
        model = replace(TINY, wiring=wiring).build().eval()
        tokens = torch.randint(5, (1, model.system.layout.sites, 2))
        other, network = tokens.clone(), model.network
        other[:, -1, 0] = (other[:, -1, 0] + 1) % 5
        condition = network.condition(network.condition.prepare(1, 1, tokens.device))
        plan = network.plan(0, 1, tokens.device)
        with torch.no_grad():
            differs = network.hidden(tokens, condition, plan) != network.hidden(other, condition, plan)
        assert not differs[..., :16].any()
        assert not differs[:, :-1].any()
        assert bool(differs[:, -1, 16:].any()) == knows


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_sizes(size: str) -> None:
    """Each builds, and has LlamaGen's names but for a norm and a matrix a code; an unasked one has a table of one class."""
    system: System = SIZES[size]
    assert isinstance(system.tokenizer, RQ)
    with torch.device("meta"):
        state = system.network().state_dict()
    keys = FAMILY.keys(system)
    theirs = keys.to_theirs(state)
    codes, backbone = system.tokenizer.codes, system.backbone
    assert isinstance(backbone, Readouts)
    assert {f"norm.{d}.weight" for d in range(codes)} | {f"output.{d}.weight" for d in range(codes)} <= theirs.keys()
    assert theirs["tok_embeddings.weight"].shape == (system.tokenizer.vocab, backbone.width)
    classes = 1001 if size.startswith("x") else 1
    assert theirs["cls_embedding.embedding_table.weight"].shape == (classes, backbone.width)
    assert len({key.split(".")[1] for key in theirs if key.startswith("layers.")}) == 48
    back = keys.to_ours(theirs)
    assert {key: value.shape for key, value in back.items()} == {key: value.shape for key, value in state.items()}


def test_size_of_the_released_model() -> None:
    """One code is LlamaGen, and the XXL has as many parameters as LlamaGen's and one more table and norm."""
    with torch.device("meta"):
        ours, theirs = (sum(p.numel() for p in s.network().parameters()) for s in (SIZES["xxl"], LLAMAGEN["xxl-384"]))
    assert ours - theirs == 1536 * 16384 + 1536
