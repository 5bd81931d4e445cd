"""The names of the official weights of DnD-Transformer (Chen et al. 2024, arXiv 2410.01912)."""

from __future__ import annotations

from ..keymap import KeyMap, Squeezed
from .llamagen import KEYS as LLAMAGEN

NAMES = {ours: name for ours, name in LLAMAGEN.names.items() if ours.startswith(("wiring", "backbone.blocks"))} | {
    "backbone.norms.{}.weight": "norm.{}.weight",
    "head.projects.{}.weight": "output.{}.weight",
}

KEYS = KeyMap(NAMES | {"condition.embed.weight": "cls_embedding.embedding_table.weight"})

KEYS_FREE = KeyMap(
    NAMES | {"condition.start": Squeezed("cls_embedding.embedding_table.weight")}
)  # a table of one class
