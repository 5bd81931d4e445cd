"""What moves information between slots?"""

from .attention import Attention
from .base import Cache, Context, Mixer, MixerModule, State
from .biased import BiasedAttention

__all__ = [
    "Attention",
    "BiasedAttention",
    "Cache",
    "Context",
    "Mixer",
    "MixerModule",
    "State",
]
