"""Which sites come when?"""

from .base import Order, Plan
from .random import Random
from .raster import Raster
from .scales import Scales, Schedules

__all__ = [
    "Order",
    "Plan",
    "Random",
    "Raster",
    "Scales",
    "Schedules",
]
