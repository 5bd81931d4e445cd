"""How do known tokens feed the prediction?"""

from .base import Call, Script, Wiring, WiringModule
from .groups import Groups
from .instructions import Instructions
from .masked import Masked
from .neighbours import Neighbours
from .shift import Shift

__all__ = [
    "Call",
    "Groups",
    "Instructions",
    "Masked",
    "Neighbours",
    "Script",
    "Shift",
    "Wiring",
    "WiringModule",
]
