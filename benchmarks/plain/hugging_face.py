"""A library in the place of a loop: Hugging Face's Llama of LlamaGen's shape, with its static cache, and guidance as a doubled batch.

Layers, widths, heads, vocabulary and the table of classes are LlamaGen's; positions are not, since its rotary ones count along a line, so
its tokens cannot be ours. Its weights are random. The picking of tokens is written here: `generate` of that library guides by two calls.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextset.errors import UsageError
from nextset.system import Network

from .llamagen import parts


class HuggingFaceLlama(nn.Module):
    """Of the shape of a network. Raises UsageError where transformers is not installed."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        if importlib.util.find_spec("transformers") is None:
            raise UsageError("transformers is not installed; pip install 'nextset[bench]'")
        from transformers import LlamaConfig, LlamaForCausalLM

        spec, mixer, label = parts(network.system)
        weights = network.state_dict()
        self.sites, self.classes = network.layout.sites, label.classes
        self.config = LlamaConfig(
            vocab_size=len(weights["head.project.weight"]),
            hidden_size=spec.dim,
            intermediate_size=len(weights["backbone.blocks.0.feedforward.rise.weight"]) // 2,
            num_hidden_layers=spec.depth,
            num_attention_heads=mixer.heads,
            num_key_value_heads=mixer.groups or mixer.heads,
            max_position_embeddings=self.sites,
            rms_norm_eps=spec.eps,
            tie_word_embeddings=False,
        )
        self.model: Any = LlamaForCausalLM(self.config).eval()
        self.class_table = nn.Embedding(self.classes + 1, spec.dim)

    @torch.inference_mode()
    def generate(self, labels: Tensor, scale: float, steps: int | None = None) -> Tensor:
        """The likeliest tokens (B, N) of its own weights, guided by u + scale (c - u); after so many `steps` zeros."""
        from transformers import StaticCache

        cache = StaticCache(config=self.config, max_cache_len=self.sites)
        embed = self.model.get_input_embeddings()
        x = self.class_table(torch.cat([labels, torch.full_like(labels, self.classes)]))[:, None]
        drawn: list[Tensor] = []
        for step in range(self.sites)[:steps]:
            place = torch.tensor([[step]])
            found = self.model(inputs_embeds=x, position_ids=place, cache=cache, use_cache=True)
            conditional, unconditional = found.logits[:, -1].float().chunk(2)
            drawn.append((unconditional + (conditional - unconditional) * scale).argmax(-1, keepdim=True))
            x = embed(torch.cat([drawn[-1], drawn[-1]]))
        return F.pad(torch.cat(drawn, 1), (0, self.sites - len(drawn)))
