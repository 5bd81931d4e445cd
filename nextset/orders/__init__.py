"""Which sites come when?"""

from .annealed import Annealed, Mixture
from .base import Adaptive, Chooser, Order, Plan
from .budget import Budget
from .cells import Cells
from .confidence import Confidence
from .diagonal import Diagonal
from .random import Random
from .raster import Raster
from .regions import Regions
from .scales import Scales, Schedules
from .schedules import Falling, Rising, Schedule
from .subsamples import Subsamples
from .unmasking import Unmasking
from .wavefront import Wavefront

__all__ = [
    "Adaptive",
    "Annealed",
    "Budget",
    "Cells",
    "Chooser",
    "Confidence",
    "Diagonal",
    "Falling",
    "Mixture",
    "Order",
    "Plan",
    "Random",
    "Raster",
    "Regions",
    "Rising",
    "Scales",
    "Schedule",
    "Schedules",
    "Subsamples",
    "Unmasking",
    "Wavefront",
]
