"""How is it drawn?"""

from .guidance import Clipped, Constant, CosineRamp, Guidance, Inside, Interval, Linear, PowerCosine, Proportional, Ramp
from .loop import Decoding, decode
from .pick import Pick
from .unmask import unmask

__all__ = [
    "Clipped",
    "Constant",
    "CosineRamp",
    "Decoding",
    "Guidance",
    "Inside",
    "Interval",
    "Linear",
    "Pick",
    "PowerCosine",
    "Proportional",
    "Ramp",
    "decode",
    "unmask",
]
