"""The names of the official weights of RandAR (Pang et al. 2024, arXiv 2412.01827)."""

from __future__ import annotations

from ..keymap import KeyMap
from .llamagen import KEYS as LLAMAGEN

KEYS = KeyMap({**LLAMAGEN.names, "wiring.ask": "pos_instruct_embeddings"})
