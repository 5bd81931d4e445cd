"""Which sites come when?"""

from .base import Order, Plan
from .raster import Raster

__all__ = ["Order", "Plan", "Raster"]
