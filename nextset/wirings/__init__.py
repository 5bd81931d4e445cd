"""How do known tokens feed the prediction?"""

from .base import Script, Wiring, WiringModule
from .shift import Shift

__all__ = ["Script", "Shift", "Wiring", "WiringModule"]
