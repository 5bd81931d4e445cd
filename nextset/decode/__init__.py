"""How is it drawn?"""

from .guidance import Constant, CosineRamp, Guidance, Interval, Linear, PowerCosine, Proportional, Ramp
from .loop import Decoding, decode
from .pick import Pick
from .unmask import unmask

__all__ = [
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
