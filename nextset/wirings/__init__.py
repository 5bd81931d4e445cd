"""How do known tokens feed the prediction?"""

from .base import Call, Script, Wiring, WiringModule
from .directed import Directed
from .instructions import Instructions
from .masked import Masked
from .shift import Shift
from .stepped import Stepped
from .targeted import Targeted

__all__ = [
    "Call",
    "Directed",
    "Instructions",
    "Masked",
    "Script",
    "Shift",
    "Stepped",
    "Targeted",
    "Wiring",
    "WiringModule",
]
