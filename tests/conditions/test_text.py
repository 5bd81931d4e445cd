"""Captions as features of a text encoder: packed to the right, padding without a trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nextset import Model, UsageError
from nextset.conditions import Text
from nextset.layout import Tokens
from tests.laws.toys import BASE, excite, random_tokens

CPU = torch.device("cpu")
PART = Text(6, 4)


def caption(tokens: int, length: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (1, T, E) of which the first `tokens` count, as encoders pad."""
    features = torch.randn(1, length, 6, generator=torch.Generator().manual_seed(seed))
    return features, torch.arange(length)[None] < tokens


def model_with(part: Text) -> Model:
    return excite(replace(BASE, condition=part).build())


def hidden(model: Model, condition: object, tokens: Tensor) -> Tensor:
    """Teacher-forced hidden vectors."""
    network = model.network
    conditioning = network.condition(network.condition.prepare(condition, len(tokens), CPU))
    with torch.no_grad():
        return network.hidden(tokens, conditioning, network.plan(0, len(tokens), CPU))


def test_packing() -> None:
    """Tokens move to the right in their order; the last channel says where they are."""
    features, mask = caption(2, 3)
    packed = PART.build(8).prepare((features, mask), None, CPU)
    assert packed.shape == (1, 4, 7)
    assert packed[0, :, -1].tolist() == [0, 0, 1, 1]
    assert torch.equal(packed[0, 2:, :-1], features[0, :2])
    assert (packed[0, :2] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32, torch.uint8])
def test_masks_of_any_type(dtype: torch.dtype) -> None:
    features, mask = caption(2, 3)
    module = PART.build(8)
    assert torch.equal(
        module.prepare((features, mask.to(dtype)), None, CPU), module.prepare((features, mask), None, CPU)
    )


def test_features_alone_all_count() -> None:
    packed = PART.build(8).prepare(caption(3, 3)[0], None, CPU)
    assert packed[0, :, -1].tolist() == [0, 1, 1, 1]


def test_what_lies_in_padding_does_not_matter() -> None:
    """Not even what is no number."""
    features, mask = caption(2, 4)
    spoilt = torch.where(mask[..., None], features, torch.nan)
    module = PART.build(8)
    assert torch.equal(module.prepare((spoilt, mask), None, CPU), module.prepare((features, mask), None, CPU))


def test_one_caption_stands_for_all() -> None:
    packed = PART.build(8).prepare(caption(2, 3), 5, CPU)
    assert packed.shape == (5, 4, 7)
    assert torch.equal(packed, packed[:1].expand_as(packed))


def test_padding_leaves_no_trace() -> None:
    """A model with more slots than the caption needs computes what one with just enough does."""
    roomy, tight = model_with(replace(PART, slots=9)), model_with(replace(PART, slots=2))
    tight.load_state_dict({**roomy.state_dict(), "network.condition.empty": torch.zeros(2, 6)})
    tokens = random_tokens(roomy, 1)
    features, mask = caption(2, 3)
    torch.testing.assert_close(hidden(roomy, (features, mask), tokens), hidden(tight, features[:, :2], tokens))


def test_captions_of_a_batch_are_apart() -> None:
    """Short and long captions together give what each gives alone; drawing too."""
    model = model_with(PART)
    features = torch.cat([caption(1, 3)[0], caption(3, 3, seed=1)[0]])
    mask = torch.cat([caption(1, 3)[1], caption(3, 3)[1]])
    tokens = random_tokens(model, 2)
    together = hidden(model, (features, mask), tokens)
    drawn = model.generate((features, mask), seed=2, guidance=2.0)
    for i in range(2):
        alone = (features[i : i + 1], mask[i : i + 1])
        torch.testing.assert_close(hidden(model, alone, tokens[i : i + 1]), together[i : i + 1])
        assert torch.equal(model.generate(alone, seed=2, first=i, guidance=2.0), drawn[i : i + 1])


def test_no_caption_is_fixed_and_travels_with_the_weights(tmp_path) -> None:
    """It is a buffer: saved, never trained, of the size of N(0, 1) / sqrt(E)."""
    module = Text(512, 64).build(8)
    assert "empty" in module.state_dict()
    assert "empty" not in dict(module.named_parameters())
    assert abs(module.empty.std() * 512**0.5 - 1) < 0.05
    model = model_with(PART)
    again = Model.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert torch.equal(again.network.condition.empty, model.network.condition.empty)


def test_captions_must_be_encoded() -> None:
    module = PART.build(8)
    for captions in ("a cat", ["a cat", "a dog"]):
        with pytest.raises(UsageError, match="encode captions with the text encoder first"):
            module.prepare(captions, None, CPU)
    with pytest.raises(UsageError, match="needs encoded captions"):
        PART.of(torch.zeros(2, dtype=torch.int64), ["a cat", "a dog"])


def test_training_takes_features() -> None:
    model = model_with(PART).train()
    tokens = Tokens(random_tokens(model, 1), model.system.layout)
    model.loss(tokens, caption(2, 3))["loss"].backward()
    assert model.network.condition.fc1.weight.grad is not None
