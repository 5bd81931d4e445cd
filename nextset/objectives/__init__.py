"""What does training minimise?"""

from .base import Objective, Scorer
from .captioned import Captioned
from .next_set import NextSet

__all__ = [
    "Captioned",
    "NextSet",
    "Objective",
    "Scorer",
]
