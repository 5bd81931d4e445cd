"""How do known tokens feed the prediction?"""

from .base import Script, Wiring, WiringModule
from .instructions import Instructions
from .shift import Shift

__all__ = ["Instructions", "Script", "Shift", "Wiring", "WiringModule"]
