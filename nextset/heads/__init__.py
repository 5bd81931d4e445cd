"""What is the distribution of one token?"""

from .base import Ask, Head, HeadModule, Noisy, Picker
from .categorical import Categorical
from .depth import DepthTransformer
from .staged import Staged

__all__ = [
    "Ask",
    "Categorical",
    "DepthTransformer",
    "Head",
    "HeadModule",
    "Noisy",
    "Picker",
    "Staged",
]
