"""Which sites come when?"""

from .base import Order, Plan
from .random import Random
from .raster import Raster
from .regions import Regions
from .wavefront import Wavefront

__all__ = [
    "Order",
    "Plan",
    "Random",
    "Raster",
    "Regions",
    "Wavefront",
]
