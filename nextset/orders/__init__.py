"""Which sites come when?"""

from .base import Order, Plan
from .random import Random
from .raster import Raster

__all__ = [
    "Order",
    "Plan",
    "Random",
    "Raster",
]
