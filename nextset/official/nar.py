"""The names of the official weights of NAR (He et al. 2025, arXiv 2503.10696)."""

from __future__ import annotations

from ..keymap import Joined, KeyMap
from .llamagen import KEYS as LLAMAGEN

KEYS = KeyMap(
    {
        **{ours.replace("backbone.blocks", "backbone.llama.blocks"): theirs for ours, theirs in LLAMAGEN.names.items()},
        "backbone.llama.norm.weight": "medusa_norm.weight",
        "head.project.weight": Joined(("output.weight", "medusa_output.weight"), axis=-1),
    }
)
