"""What does training minimise?"""

from .base import Objective, Scorer
from .masked_share import MaskedShare
from .next_set import NextSet

__all__ = [
    "MaskedShare",
    "NextSet",
    "Objective",
    "Scorer",
]
