"""The names of the official weights of PAR (Wang et al. 2024, arXiv 2412.15119)."""

from __future__ import annotations

from ..keymap import KeyMap
from .llamagen import KEYS as LLAMAGEN

KEYS = KeyMap({**LLAMAGEN.names, "wiring.between": "spe_tok_embeddings.special_embeddings.weight"})
