"""What is the distribution of one token?"""

from .base import Ask, Head, HeadModule, Noisy, Picker
from .categorical import Categorical
from .diffusion import Diffusion
from .tied import Tied

__all__ = [
    "Ask",
    "Categorical",
    "Diffusion",
    "Head",
    "HeadModule",
    "Noisy",
    "Picker",
    "Tied",
]
