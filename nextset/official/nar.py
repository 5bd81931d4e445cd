"""The official weights of NAR (He et al. 2025, arXiv 2503.10696)."""

from __future__ import annotations

from dataclasses import replace

from ..family import Arguments, Family, Published
from ..keymap import Joined, KeyMap
from ..system import System
from ..systems.nar import nar
from ..tokenizers.base import Tokenizer
from . import llamagen, vq

KEYS = KeyMap(
    {
        **{
            ours.replace("backbone.blocks", "backbone.llama.blocks"): theirs
            for ours, theirs in llamagen.KEYS.names.items()
        },
        "backbone.llama.norm.weight": "medusa_norm.weight",
        "head.project.weight": Joined(("output.weight", "medusa_output.weight"), axis=-1),
    }
)


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A LlamaGen with one more block; how many of its blocks those are is not in the weights."""
    more = args.asked("medusa_attention_num", 1)
    depth = args.count("layers.{}.*") - more
    args.seen("n_layer", depth)
    base = llamagen.read(args.without("n_layer"), tokenizer)
    return nar(
        replace(base, backbone=replace(llamagen.llama(args.without("n_layer"), base.backbone.width), depth=depth)), more
    )


HOME = "yefly/NAR-XL-t2i-stage2"  # the files of the other sizes are not stated
PUBLISHED = {"t2i-xl-512": Published(f"{HOME}:t2i_XL_stage2_512.pt", "peizesun/llamagen_t2i:vq_ds16_t2i.pt")}
FAMILY = Family(read, lambda spec: KEYS, vq.CODER, PUBLISHED, wrapper="model")
