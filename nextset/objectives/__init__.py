"""What does training minimise?"""

from .base import Objective, Scorer
from .next_patch import NextPatch
from .next_set import NextSet

__all__ = [
    "NextPatch",
    "NextSet",
    "Objective",
    "Scorer",
]
