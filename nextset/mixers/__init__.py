"""What moves information between slots?"""

from .attention import Attention
from .base import Cache, Context, Mixer, MixerModule, State
from .biased import BiasedAttention
from .block import TransformerBlock
from .cosine import CosineAttention
from .mamba2 import Mamba2

__all__ = [
    "Attention",
    "BiasedAttention",
    "Cache",
    "Context",
    "CosineAttention",
    "Mamba2",
    "Mixer",
    "MixerModule",
    "State",
    "TransformerBlock",
]
