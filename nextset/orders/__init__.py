"""Which sites come when?"""

from .annealed import Annealed, Mixture
from .base import Order, Plan
from .cosine import Cosine
from .diagonal import Diagonal
from .random import Random
from .raster import Raster

__all__ = [
    "Annealed",
    "Diagonal",
    "Mixture",
    "Cosine",
    "Order",
    "Plan",
    "Random",
    "Raster",
]
