"""How is it drawn?"""

from .guidance import Constant, Guidance, Interval, Linear, PowerCosine, Proportional, Ramp
from .loop import Decoding, decode
from .pick import Pick

__all__ = [
    "Constant",
    "Decoding",
    "Guidance",
    "Interval",
    "Linear",
    "Pick",
    "PowerCosine",
    "Proportional",
    "Ramp",
    "decode",
]
