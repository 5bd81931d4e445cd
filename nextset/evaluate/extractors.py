"""One word to an extractor: a classifier of ours, random weights, FID's Inception, or a vision model of Hugging Face's format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..checkpoints import SUFFIXES
from ..errors import UsageError, nearest, need
from ..folders import reason
from .classifier import RECIPES, trained
from .features import Extractor, tiny_random
from .inception import inception
from .samples import to_uint8

WORDS = (*RECIPES, "tiny-random", "inception")
GRAPH = ".pb"


def is_inception(word: str | None) -> bool:
    """Whether `open_extractor` takes the word for FID's Inception."""
    return word is not None and (word == "inception" or Path(word).suffix in (*SUFFIXES, GRAPH))


def open_extractor(word: str, channels: int = 3) -> Extractor:
    """The extractor that `word` names.

    "digits" or "shapes" (trained once), "tiny-random" (for pictures of `channels`), "inception" (`inception` says where its weights
    are looked for), the path of Inception's weights, or a folder or hub id of a vision model, such as facebook/dinov2-large or
    openai/clip-vit-large-patch14. Raises UsageError for anything else.
    """
    path = Path(word)
    if word in RECIPES:
        return trained(word)
    if word == "tiny-random":
        return tiny_random(channels)
    if is_inception(word):
        return inception(None if word == "inception" else path)
    if path.is_dir() or re.fullmatch(r"[\w.-]+/[\w.-]+", word):
        return vision_model(word)
    raise UsageError(
        f"extractor {word!r} is no file, no folder and no hub id{nearest(word, WORDS)}; or give weights of Inception or a vision model"
    )


class VisionExtractor(Extractor):
    """A vision transformer of the `transformers` library: the normalised class token (DINOv2), or the class token before CLIP's projection.

    Pictures are 8-bit, made `side` pixels square by PIL's bicubic filter, which averages where it shrinks, then normalised as
    the model's own preprocessor says: what Stein et al. 2023 (arXiv 2306.04675) call FD-DINOv2, with the model facebook/dinov2-large.
    """

    channels, size, greys = 3, None, True

    def __init__(self, name: str, model: torch.nn.Module, side: int, mean: list[float], std: list[float]) -> None:
        super().__init__()
        config: Any = model.config
        self.name, self.model, self.side, self.dim = name, model, side, config.hidden_size
        for key, values in (("mean", mean), ("std", std)):
            self.register_buffer(key, torch.tensor(values).view(-1, 1, 1))
        self.requires_grad_(False).eval()

    def _features(self, images: Tensor) -> Tensor:
        pixels = [self._squared(p) for p in to_uint8(images).cpu().numpy()]
        x = torch.from_numpy(np.stack(pixels)).to(images.device).movedim(-1, 1).float() / 255
        output = self.model(pixel_values=(x - self.get_buffer("mean")) / self.get_buffer("std"))
        return output.pooler_output

    def _squared(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((self.side, self.side), Image.Resampling.BICUBIC))


def vision_model(source: str) -> VisionExtractor:
    """The extractor of a vision model's folder or hub id. Needs the extra `text`, which brings transformers.

    Raises UsageError where there is none, or where it has no pooled output.
    """
    transformers = need("transformers", "text")
    try:
        config = transformers.AutoConfig.from_pretrained(source)
        clip = config.model_type in ("clip", "clip_vision_model")
        kind = transformers.CLIPVisionModel if clip else transformers.AutoModel
        model, process = kind.from_pretrained(source), transformers.AutoImageProcessor.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"extractor {source}: no vision model could be had there ({reason(error)}); give a folder or a hub id of one"
        ) from error
    size = process.crop_size if getattr(process, "do_center_crop", False) else process.size
    side = size["height"] if "height" in size else size["shortest_edge"]
    extractor = VisionExtractor(_named(source), model, side, process.image_mean, process.image_std)
    try:
        extractor.features(torch.zeros(1, 3, side, side))
    except (AttributeError, TypeError) as error:
        raise UsageError(
            f"extractor {source} is a {config.model_type}, which pools no features of pictures ({error})"
        ) from error
    return extractor


def _named(source: str) -> str:
    """The last part of a path or id: where it lies is no part of the protocol, the hash of its weights is."""
    return Path(source).name
