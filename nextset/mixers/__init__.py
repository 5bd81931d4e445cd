"""What moves information between slots?"""

from .attention import Attention
from .base import Cache, Context, Mixer, MixerModule
from .biased import BiasedAttention
from .block import TransformerBlock
from .cosine import CosineAttention
from .keeping import EXACT, Exact, Keeping, KeyValues, Shared, State
from .mamba2 import Mamba2
from .ragged import Places, Ragged
from .rounded import Int8, Narrow
from .window import Window
from .words import keeping_of

__all__ = [
    "EXACT",
    "Attention",
    "BiasedAttention",
    "Cache",
    "Context",
    "CosineAttention",
    "Exact",
    "Int8",
    "Keeping",
    "KeyValues",
    "Mamba2",
    "Mixer",
    "MixerModule",
    "Places",
    "Ragged",
    "Shared",
    "Narrow",
    "State",
    "TransformerBlock",
    "Window",
    "keeping_of",
]
