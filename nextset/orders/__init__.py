"""Which sites come when?"""

from .base import Adaptive, Chooser, Order, Plan
from .budget import Budget
from .confidence import Confidence
from .random import Random
from .raster import Raster
from .unmasking import Unmasking

__all__ = [
    "Adaptive",
    "Budget",
    "Chooser",
    "Confidence",
    "Order",
    "Plan",
    "Random",
    "Raster",
    "Unmasking",
]
