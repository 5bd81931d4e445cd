"""Which sites come when?"""

from .annealed import Annealed, Mixture
from .base import Order, Plan
from .diagonal import Diagonal
from .random import Random
from .raster import Raster

__all__ = [
    "Annealed",
    "Diagonal",
    "Mixture",
    "Order",
    "Plan",
    "Random",
    "Raster",
]
