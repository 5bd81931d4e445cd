"""How is it drawn?"""

from .guidance import Clipped, Constant, CosineRamp, Guidance, Interval, Linear, PowerCosine, Proportional, Ramp
from .loop import Decoding, decode
from .pick import Pick
from .unmask import unmask

__all__ = [
    "Clipped",
    "Constant",
    "CosineRamp",
    "Decoding",
    "Guidance",
    "Interval",
    "Linear",
    "Pick",
    "PowerCosine",
    "Proportional",
    "Ramp",
    "decode",
    "unmask",
]
