"""How do known tokens feed the prediction?"""

from .base import Call, Script, Wiring, WiringModule
from .instructions import Instructions
from .masked import Masked
from .shift import Shift
from .upsampled import Upsampled

__all__ = [
    "Call",
    "Instructions",
    "Masked",
    "Script",
    "Shift",
    "Upsampled",
    "Wiring",
    "WiringModule",
]
