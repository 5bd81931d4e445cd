"""Extractors by a word, and vision models of Hugging Face's format, small and random."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nextset.errors import UsageError
from nextset.evaluate import open_extractor
from nextset.evaluate.extractors import is_inception

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PICTURES = {"image_size": 28, "patch_size": 14}


def vision(folder: Path, kind: str) -> Path:
    """A folder as the library's `save_pretrained` writes it."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if kind == "dino":
        model, process = transformers.Dinov2Model(transformers.Dinov2Config(**SHAPE, **PICTURES)), "BitImageProcessor"
    else:
        config = transformers.CLIPVisionConfig(**SHAPE, **PICTURES)
        model, process = transformers.CLIPVisionModel(config), "CLIPImageProcessor"
    model.save_pretrained(folder)
    about = {"image_processor_type": process, "size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28}}
    about |= {"do_center_crop": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize("kind", ["dino", "clip"])
def test_vision_models_are_extractors(kind: str, tmp_path: Path) -> None:
    extractor = open_extractor(str(vision(tmp_path / kind, kind)))
    pixels = torch.randint(0, 256, (2, 3, 28, 28), generator=torch.Generator().manual_seed(0))
    images = pixels.float() / 127.5 - 1
    found = extractor.features(images)
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(-1, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(-1, 1, 1)
    with torch.no_grad():  # at their own size pictures are only normalised
        expected = extractor.model(pixel_values=(pixels / 255 - mean) / std).pooler_output
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert (extractor.dim, found.shape) == (16, (2, 16))
    assert extractor.identity.startswith(f"{kind}:")
    assert extractor.features(torch.rand(1, 1, 50, 40) * 2 - 1).shape == (1, 16)  # grey, and of any size


def test_words() -> None:
    assert open_extractor("digits").name == "digits-cnn-v1"
    assert open_extractor("tiny-random", 1).channels == 1
    assert [is_inception(word) for word in ("inception", "x.pth", "x.pb", "digits", None)] == [True] * 3 + [False] * 2


def test_what_is_no_extractor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        open_extractor("digit")
    with pytest.raises(UsageError, match="there is no file"):
        open_extractor(str(tmp_path / "none.pth"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra nextset[text] is not installed")
    with pytest.raises(UsageError, match="no vision model could be had there"):
        open_extractor(str(tmp_path))
