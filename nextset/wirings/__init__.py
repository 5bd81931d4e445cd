"""How do known tokens feed the prediction?"""

from .base import Call, Script, Wiring, WiringModule
from .coded import Coded
from .injected import Injected
from .instructions import Instructions
from .masked import Masked
from .shift import Shift

__all__ = [
    "Call",
    "Coded",
    "Injected",
    "Instructions",
    "Masked",
    "Script",
    "Shift",
    "Wiring",
    "WiringModule",
]
