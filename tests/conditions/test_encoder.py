"""Text encoders of transformers: what they give is what conditions take, and padding changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nextset import UsageError
from nextset.conditions import Attended, Text
from nextset.conditions.encoder import TextEncoder

transformers = pytest.importorskip("transformers", reason="the extra nextset[text] is not installed")
WORDS = ("<pad>", "</s>", "<unk>", "a", "red", "circle", "blue")


def saved(folder: Path, network: Any) -> Path:
    """A network with random weights beside a tokenizer that knows a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    network.save_pretrained(folder)
    return folder


@pytest.fixture(params=["t5", "clip"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    if request.param == "t5":
        config = transformers.T5Config(vocab_size=7, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
        return saved(tmp_path, transformers.T5EncoderModel(config))
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPTextConfig(vocab_size=7, max_position_embeddings=16, eos_token_id=1, **sizes)
    return saved(tmp_path, transformers.CLIPTextModel(config))


def test_conditions_take_what_it_gives(folder: Path) -> None:
    features, mask = TextEncoder.from_pretrained(folder, slots=6)(["a red circle", "blue"])
    assert features.shape == (2, 4, 8)
    assert mask.tolist() == [[True] * 4, [True, True, False, False]]
    for spec in (Text(8, 6), Attended(8, 6, 2)):
        module = spec.build(12)
        assert len(module(module.prepare((features, mask), 2, torch.device("cpu"))).prefix) == 2


def test_padding_changes_nothing(folder: Path) -> None:
    encoder = TextEncoder.from_pretrained(folder)
    (alone, _), (together, _) = encoder("blue"), encoder(["a red circle", "blue"])
    torch.testing.assert_close(together[1, : alone.shape[1]], alone[0], atol=1e-5, rtol=1e-4)


def test_long_captions_are_cut(folder: Path) -> None:
    features, mask = TextEncoder.from_pretrained(folder, slots=3)("a red blue blue circle")
    assert features.shape[1] == 3
    assert mask.all()


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    encoder = TextEncoder.from_pretrained(folder)
    for captions in ([], [3], 3):
        with pytest.raises((UsageError, TypeError)):
            encoder(captions)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="slots must be at least 1"):
        TextEncoder.from_pretrained(folder, slots=0)
    with pytest.raises(UsageError, match="cannot be opened"):
        TextEncoder.from_pretrained(tmp_path / "nothing")
    config = transformers.BertConfig(
        vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(UsageError, match="is a bert"):
        TextEncoder.from_pretrained(tmp_path / "bert")
