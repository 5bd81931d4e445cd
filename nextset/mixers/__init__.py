"""What moves information between slots?"""

from .attention import Attention
from .base import Cache, Context, Mixer, MixerModule, State
from .biased import BiasedAttention
from .cosine import CosineAttention

__all__ = [
    "Attention",
    "BiasedAttention",
    "Cache",
    "Context",
    "CosineAttention",
    "Mixer",
    "MixerModule",
    "State",
]
