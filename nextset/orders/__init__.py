"""Which sites come when?"""

from .base import Order, Plan
from .cosine import Cosine
from .random import Random
from .raster import Raster

__all__ = [
    "Cosine",
    "Order",
    "Plan",
    "Random",
    "Raster",
]
