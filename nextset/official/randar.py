"""The official weights of RandAR (Pang et al. 2024, arXiv 2412.01827)."""

from __future__ import annotations

from ..family import Arguments, Family, Published
from ..keymap import KeyMap
from ..system import System
from ..systems.randar import randar
from ..tokenizers.base import Tokenizer
from . import llamagen, vq

KEYS = KeyMap({**llamagen.KEYS.names, "wiring.ask": "pos_instruct_embeddings"})


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A LlamaGen in any order."""
    args.must("position_order", "random")
    base = llamagen.read(args, tokenizer)
    heads, turned = args.asked("n_head"), args.asked("rope_base", 10000.0)
    return randar(base, heads, args.asked("num_inference_steps", min(88, base.layout.sites)), rotary_base=turned)


HOME, VQ16 = "ziqipang/RandAR", "FoundationVision/LlamaGen:vq_ds16_c2i.pt"
PUBLISHED = {
    "l": Published(f"{HOME}:randar_0.3b_llamagen_360k_bs_1024_lr_0.0004.safetensors", VQ16),
    "l-maskgit": Published(
        f"{HOME}:randar_0.3b_maskgit_360k_bs_1024_lr_0.0004.safetensors",
        "fun-research/TiTok:maskgit-vqgan-imagenet-f16-256.bin",
    ),
    "xl": Published(f"{HOME}:randar_0.7b_llamagen_360k_bs_1024_lr_0.0004.safetensors", VQ16),
}
FAMILY = Family(read, lambda spec: KEYS, vq.CODER, PUBLISHED, licence="MIT")
