"""What moves information between slots?"""

from .attention import Attention
from .base import Cache, Context, Mixer, MixerModule, State

__all__ = ["Attention", "Cache", "Context", "Mixer", "MixerModule", "State"]
