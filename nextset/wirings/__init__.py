"""How do known tokens feed the prediction?"""

from .base import Call, Script, Wiring, WiringModule
from .instructions import Instructions
from .masked import Masked
from .queries import Causal, Memory, Mutual, Queries
from .shift import Shift

__all__ = [
    "Call",
    "Causal",
    "Instructions",
    "Masked",
    "Memory",
    "Mutual",
    "Queries",
    "Script",
    "Shift",
    "Wiring",
    "WiringModule",
]
