"""What does training minimise?"""

from .base import Objective, Scorer
from .next_set import NextSet

__all__ = [
    "NextSet",
    "Objective",
    "Scorer",
]
