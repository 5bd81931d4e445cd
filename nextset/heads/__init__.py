"""What is the distribution of one token?"""

from .base import Ask, Head, HeadModule, Noisy, Picker
from .categorical import Categorical
from .tied import Tied

__all__ = [
    "Ask",
    "Categorical",
    "Head",
    "HeadModule",
    "Noisy",
    "Picker",
    "Tied",
]
