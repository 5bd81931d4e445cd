"""Frozen text encoders of `transformers`, which give the features that `Text` and `Attended` take (extra `text`).

    encoder = TextEncoder.from_pretrained("google/flan-t5-xl", slots=120)
    model.generate(encoder(["a red bus", "a cat"]))

Legend: B batch, T tokens of the longest caption here, E width of a feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError, need


class TextEncoder:
    """A tokenizer and the network that reads its tokens: T5's encoder (LlamaGen, Infinity) or CLIP's text model."""

    def __init__(self, tokenizer: Any, network: nn.Module, slots: int) -> None:
        if slots < 1:
            raise UsageError(f"slots must be at least 1, got {slots}")
        self.tokenizer, self.network, self.slots = tokenizer, network.requires_grad_(False).eval(), slots

    @classmethod
    def from_pretrained(
        cls, source: str | Path, slots: int = 120, dtype: torch.dtype = torch.float32, device: str = "cpu"
    ) -> TextEncoder:
        """The encoder half of a T5, or CLIP's text model, from a hub id or a folder. Longer captions are cut at `slots` tokens.

        Raises UsageError for another kind of model, and for a source that is not there.
        """
        need("transformers", "text")
        import transformers

        kinds = {
            "t5": transformers.T5EncoderModel,
            "clip": transformers.CLIPTextModel,
            "clip_text_model": transformers.CLIPTextModel,
        }
        try:
            kind = transformers.AutoConfig.from_pretrained(source).model_type
            if kind not in kinds:
                raise UsageError(f"source: {source} is a {kind}; text encoders are {', '.join(kinds)}")
            tokenizer = transformers.AutoTokenizer.from_pretrained(source)
            network = kinds[kind].from_pretrained(source, dtype=dtype)
        except (OSError, ValueError) as error:
            raise UsageError(f"source: {source} cannot be opened as a text encoder: {error}") from error
        return cls(tokenizer, network.to(device), slots)

    @torch.inference_mode()
    def __call__(self, captions: str | Sequence[str]) -> tuple[Tensor, Tensor]:
        """Features (B, T, E) of the last layer, and which are no padding, (B, T) bool, with T up to `slots`."""
        captions = [captions] if isinstance(captions, str) else list(captions)
        if not captions or not all(isinstance(caption, str) for caption in captions):
            raise UsageError("captions must be a string or a list of strings, at least one")
        told = self.tokenizer(captions, max_length=self.slots, padding=True, truncation=True, return_tensors="pt")
        told = {name: told[name].to(next(self.network.parameters()).device) for name in ("input_ids", "attention_mask")}
        features: Tensor = self.network(**told).last_hidden_state
        return features, told["attention_mask"].bool()
