"""Which sites come when?"""

from .base import Order, Plan
from .random import Random
from .raster import Raster
from .schedules import Arccos, Cosine, Rising, Schedule

__all__ = [
    "Arccos",
    "Cosine",
    "Order",
    "Plan",
    "Random",
    "Raster",
    "Rising",
    "Schedule",
]
