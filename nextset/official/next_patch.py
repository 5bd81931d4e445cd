"""The names of the official weights of NPP (Pang et al. 2024, arXiv 2412.15321)."""

from __future__ import annotations

from .llamagen import KEYS as LLAMAGEN

KEYS = LLAMAGEN
