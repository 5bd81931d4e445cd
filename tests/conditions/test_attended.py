"""Captions that are attended to: packed to the left, padding without a trace, pooled for the start, and negatives to guide away from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nextset import Model, UsageError, catalogue
from nextset.conditions import Attended, Label
from nextset.decode import Constant
from nextset.layout import Tokens
from tests.laws.toys import lively, random_tokens

CPU = torch.device("cpu")
PART = Attended(6, 4, 2)
SYSTEM = catalogue.spec("infinity/tiny")


def captions(*lengths: int, longest: int = 4, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Features (B, longest, 6) of so many tokens, and their mask; what is padding is noise as well."""
    features = torch.randn(len(lengths), longest, 6, generator=torch.Generator().manual_seed(seed))
    return features, torch.arange(longest) < torch.tensor(lengths)[:, None]


@pytest.fixture(scope="module")
def model() -> Model:
    return lively(SYSTEM)


def hidden(model: Model, condition: object, tokens: Tensor) -> Tensor:
    """Teacher-forced hidden vectors."""
    network = model.network
    conditioning = network.condition(network.condition.prepare(condition, len(tokens), CPU))
    with torch.no_grad():
        return network.hidden(tokens, conditioning, network.plan(0, len(tokens), CPU))


def test_packing() -> None:
    """Tokens move to the left in their order, and the batch is as long as its longest caption."""
    features, _ = captions(4, 4)
    mask = torch.tensor([[False, True, False, True], [True, False, False, False]])
    packed = PART.build(8).prepare((features, mask), None, CPU)
    assert packed.shape == (2, 2, 7)
    assert packed[:, :, -1].tolist() == [[1, 1], [1, 0]]
    assert torch.equal(packed[0, :, :-1], features[0, [1, 3]])
    assert (packed[1, 1] == 0).all()


def test_padding_leaves_no_trace(model: Model) -> None:
    """A caption says the same alone as beside longer ones."""
    tokens = random_tokens(model, 3)
    together = hidden(model, captions(1, 4, 2), tokens)
    for i, length in enumerate((1, 4, 2)):
        features, _ = captions(1, 4, 2)
        torch.testing.assert_close(
            hidden(model, features[i : i + 1, :length], tokens[i : i + 1]), together[i : i + 1], rtol=1e-4, atol=1e-4
        )


def test_no_caption_is_as_long_as_what_it_stands_for() -> None:
    """The unguided half reads as many rows of the table as there are tokens."""
    module = PART.build(8).eval()
    null = module.null(module.prepare(captions(1, 3), None, CPU))
    alone = module(module.prepare(module.empty.detach()[None, :3], None, CPU))
    assert null.audible is not None
    assert null.audible.sum(1).tolist() == [1, 3]
    torch.testing.assert_close(null.prefix[1:], alone.prefix)


def test_batches_of_unequal_length_join() -> None:
    """The shorter is padded, and reads nothing of the padding."""
    module = PART.build(8).eval()
    short, long = (module(module.prepare(captions(*lengths), None, CPU)) for lengths in ((1, 2), (4, 3)))
    joined = short.join(long)
    assert joined.heard is not None
    assert joined.audible is not None
    assert joined.heard.shape == (4, 4, 8)
    assert joined.audible.sum(1).tolist() == [1, 2, 4, 3]
    first = joined.narrow(2)
    assert first.audible is not None
    assert torch.equal(first.prefix, short.prefix)


def test_a_negative_takes_the_place_of_none(model: Model) -> None:
    """Guided against itself a caption is unguided; against another, of any length, it is neither that nor guided against none."""
    asked, other = captions(2, 3), captions(4, seed=6)
    drawn = {
        name: model.generate(asked, guidance=3.0, negative=away) for name, away in (("none", None), ("other", other))
    }
    plain = model.generate(asked, guidance=1.0)
    assert torch.equal(model.generate(asked, guidance=3.0, negative=asked), plain)
    assert not torch.equal(drawn["other"], drawn["none"])
    assert not torch.equal(drawn["other"], plain)
    assert torch.equal(model.generate(asked, guidance=1.0, negative=other), plain)
    with pytest.raises(UsageError, match="negative: condition has 3 captions for 2"):
        model.generate(asked, negative=captions(1, 1, 1))


def test_a_table_that_never_learns() -> None:
    """Is saved, but no parameter."""
    module = replace(PART, learned=False).build(8)
    assert "empty" in module.state_dict()
    assert "empty" not in dict(module.named_parameters())


def test_captions_as_strings_are_not_encoded_here() -> None:
    with pytest.raises(UsageError, match="encode them"):
        PART.of(torch.zeros(1), ["a cat"])


def test_heads_must_share_the_width() -> None:
    with pytest.raises(UsageError, match="3 divides"):
        replace(PART, heads=3).build(8)


def test_what_is_heard_must_be_read() -> None:
    """And there must be something to hear."""
    with pytest.raises(UsageError, match="Label gives nothing to read"):
        replace(SYSTEM, condition=Label(3, vector=True), guidance=Constant(1.0)).network()
    with pytest.raises(UsageError, match="Llama has none"):
        replace(catalogue.spec("llamagen/tiny"), condition=PART).network()


def test_it_trains_on_features(model: Model) -> None:
    """A batch of features goes into the loss as it is."""
    tokens = Tokens(random_tokens(model, 2), model.system.layout)
    assert model.loss(tokens, captions(1, 3))["loss"].isfinite()
